#!/usr/bin/env python3
"""Draws what compare_resident.py measured: bars of medians, with the range of all runs.

    Benchmarks/plot_resident.py Benchmarks/data/resident.csv docs/resident.svg
"""
import argparse
import csv
import statistics
from html import escape

from plot import number, style, ticks

WIDTH, LEFT, TOP, ROW, BAR = 760, 170, 64, 52, 17
PANELS = [("generated_tokens_per_second", "generating, tokens/s"),
          ("prompt_tokens_per_second", "prompt of 512, tokens/s")]
ENGINES = ["sluice", "llama.cpp"]


def panel(rows, models, field, label, left, width):
    top_value = max(float(row[field]) for row in rows) * 1.05
    bottom = TOP + ROW * len(models)

    def across(value):
        return left + value / top_value * width

    out = [f'<text x="{left}" y="{TOP - 12}">{escape(label)}</text>']
    for value in ticks(0, top_value, 4):
        x = across(value)
        out.append(f'<line class="grid" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}"/>'
                   f'<text class="quiet" x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">'
                   f"{number(value)}</text>")
    for place, model in enumerate(models):
        for index, engine in enumerate(ENGINES):
            values = [float(row[field]) for row in rows
                      if row["model"] == model and row["engine"] == engine]
            y = TOP + ROW * place + 7 + index * (BAR + 3)
            out.append(f'<rect class="d{index}" x="{left}" y="{y}" height="{BAR}" '
                       f'width="{across(statistics.median(values)) - left:.1f}"/>')
            middle = y + BAR / 2
            out.append(f'<line class="axis" x1="{across(min(values)):.1f}" y1="{middle}" '
                       f'x2="{across(max(values)):.1f}" y2="{middle}"/>')
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("out")
    arguments = parser.parse_args()
    with open(arguments.data, newline="") as file:
        rows = list(csv.DictReader(file))
    models = list(dict.fromkeys(row["model"] for row in rows))
    height = TOP + ROW * len(models) + 60
    title = f"Everything in memory, {rows[0]['threads']} threads: medians, lines from least to most"
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
           f'aria-label="{escape(title)}"><title>{escape(title)}</title>'
           f"<style>{style()}</style>",
           f'<rect class="paper" width="{WIDTH}" height="{height}" rx="6"/>',
           f'<text class="title" x="24" y="28">{escape(title)}</text>']
    for place, model in enumerate(models):
        y = TOP + ROW * place + ROW / 2 + 2
        out.append(f'<text x="{LEFT - 12}" y="{y}" text-anchor="end">{escape(model)}</text>')
    width = (WIDTH - LEFT - 60) / 2
    for index, (field, label) in enumerate(PANELS):
        out += panel(rows, models, field, label, LEFT + index * (width + 36), width)
    for index, engine in enumerate(ENGINES):
        x = LEFT + 110 * index
        out.append(f'<rect class="d{index}" x="{x}" y="{height - 24}" width="14" height="12"/>'
                   f'<text x="{x + 20}" y="{height - 14}">{escape(engine)}</text>')
    with open(arguments.out, "w") as file:
        file.write("\n".join(out + ["</svg>"]) + "\n")


if __name__ == "__main__":
    main()
