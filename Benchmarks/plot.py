#!/usr/bin/env python3
"""Line charts as SVG, from comma-separated values, with the standard library alone.

    Benchmarks/plot.py DATA.csv OUT.svg --x COLUMN --y COLUMN --series COLUMN
        [--where COLUMN=VALUE ...] [--only NAME=LABEL,...] [--title T] [--x-label T] [--y-label T]
        [--y-scale N] [--x-log] [--x-max N] [--y-max N] [--legend inside|right]

Colours follow the reader's light or dark setting. `chart` is there for other scripts.
"""

import argparse
import csv
import math
import pathlib
import re
from html import escape

WIDTH, HEIGHT = 760, 440
LEFT, TOP, BOTTOM = 64, 52, 56
LEGEND_WIDTH = 178
FONT = "system-ui, -apple-system, Segoe UI, Roboto, DejaVu Sans, sans-serif"
# Told apart also by those who see few colours (Okabe and Ito), and by their dashes.
LIGHT = ["#0072b2", "#d55e00", "#009e73", "#a6568c", "#8a6d00", "#3b7ea1", "#5b6773"]
DARK = ["#56b4e9", "#f0863c", "#2fcf9f", "#dd94c2", "#e6c84f", "#8cc8e8", "#aab4be"]
DASHES = ["", "7 3", "2 3", "9 3 2 3", "12 4", "4 2", "1 2"]


def style():
    """Names for the parts, whose colours depend on the reader's setting."""
    lines = [f"text{{font-family:{FONT};font-size:13px;fill:#1f2933}}"]
    lines += [".title{font-size:16px;font-weight:600}", ".quiet{fill:#5b6773;font-size:12px}"]
    lines += [".paper{fill:#ffffff}", ".grid{stroke:#d5dbe1;stroke-width:1}"]
    lines += [".axis{stroke:#5b6773;stroke-width:1.2}"]
    for index, colour in enumerate(LIGHT):
        lines.append(f".l{index}{{stroke:{colour}}}.d{index}{{fill:{colour}}}")
    dark = ["text{fill:#e4e7eb}", ".quiet{fill:#aab4be}", ".paper{fill:#14181c}"]
    dark += [".grid{stroke:#333c45}", ".axis{stroke:#aab4be}"]
    for index, colour in enumerate(DARK):
        dark.append(f".l{index}{{stroke:{colour}}}.d{index}{{fill:{colour}}}")
    return "".join(lines) + "@media(prefers-color-scheme:dark){" + "".join(dark) + "}"


def ticks(low, high, wanted=6):
    """Round numbers from `low` to `high`, about as many as wanted."""
    span = high - low
    if span <= 0:
        return [low]
    power = 10 ** math.floor(math.log10(span / wanted))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power * wanted >= span * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low, high):
    """Powers of two from `low` to `high`, at most nine."""
    first, last = math.ceil(math.log2(low) - 1e-9), math.floor(math.log2(high) + 1e-9)
    step = max(1, math.ceil((last - first + 1) / 9))
    return [2.0**n for n in range(first, last + 1, step)]


def number(value):
    return f"{value:.10g}"


def legend(names, x, y):
    parts = []
    for row, name in enumerate(names):
        index = row % len(LIGHT)
        top = y + 20 * row
        dash = DASHES[index]
        parts.append(
            f'<line class="l{index}" x1="{x}" y1="{top}" x2="{x + 26}" y2="{top}" '
            f'stroke-width="2.4" stroke-dasharray="{dash}"/>'
            f'<text x="{x + 33}" y="{top + 4}">{escape(name)}</text>'
        )
    return parts


def chart(series, title, x_label, y_label, x_log=False, x_max=None, y_max=None, beside=True):
    """An SVG document.

    series: name -> list of (x, y), drawn in this order; values of y from 0 up.
    beside: the legend is at the right; otherwise in the upper left, over the lines.
    """
    points = [point for line in series.values() for point in line]
    if not points:
        raise SystemExit("plot.py: nothing to draw")
    xs = [x for x, _ in points]
    low, high = min(xs), x_max or max(xs)
    if not x_log and low >= 0 and low <= high / 4:
        low = 0
    top_value = y_max or max(y for _, y in points) * 1.04 or 1
    right = WIDTH - (LEGEND_WIDTH if beside else 24)
    bottom = HEIGHT - BOTTOM

    def across(x):
        if x_log:
            share = math.log(x / low) / math.log(high / low)
        else:
            share = (x - low) / (high - low)
        return LEFT + share * (right - LEFT)

    def up(y):
        return bottom - y / top_value * (bottom - TOP)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}"><title>{escape(title)}</title><style>{style()}</style>',
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}" rx="6"/>',
        f'<text class="title" x="{LEFT}" y="28">{escape(title)}</text>',
    ]
    for value in ticks(0, top_value):
        y = up(value)
        out.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>')
        out.append(
            f'<text class="quiet" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">'
            f"{number(value)}</text>"
        )
    for value in log_ticks(low, high) if x_log else ticks(low, high, 10):
        x = across(value)
        out.append(
            f'<line class="axis" x1="{x:.1f}" y1="{bottom}" x2="{x:.1f}" y2="{bottom + 5}"/>'
        )
        out.append(
            f'<text class="quiet" x="{x:.1f}" y="{bottom + 19}" text-anchor="middle">'
            f"{number(value)}</text>"
        )
    out.append(f'<line class="axis" x1="{LEFT}" y1="{bottom}" x2="{right}" y2="{bottom}"/>')
    middle = (TOP + bottom) / 2
    out.append(
        f'<text x="{(LEFT + right) / 2:.1f}" y="{HEIGHT - 14}" text-anchor="middle">'
        f"{escape(x_label)}</text>"
        f'<text transform="translate(18 {middle:.1f}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_label)}</text>"
    )
    for row, line in enumerate(series.values()):
        index = row % len(LIGHT)
        place = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in sorted(line))
        out.append(
            f'<polyline class="l{index}" points="{place}" fill="none" stroke-width="2.4" '
            f'stroke-linejoin="round" stroke-dasharray="{DASHES[index]}"/>'
        )
        out += [
            f'<circle class="d{index}" cx="{across(x):.1f}" cy="{up(y):.1f}" r="2.6"/>'
            for x, y in line
        ]
    out += legend(series, right + 14 if beside else LEFT + 14, TOP + 8)
    return "\n".join(out + ["</svg>"]) + "\n"


def read(path, x, y, name, where, labels, scale):
    """name's label -> points, in the order of `labels`, or of the file."""
    series = {label: [] for label in labels.values()}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            if any(row[column] != value for column, value in where):
                continue
            if labels and row[name] not in labels:
                continue
            label = labels.get(row[name], row[name])
            series.setdefault(label, []).append((float(row[x]), float(row[y]) * scale))
    return series


def pair(text):
    match = re.fullmatch(r"([^=]+)=(.*)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=VALUE")
    return match.group(1), match.group(2)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("out")
    for option in ("--x", "--y", "--series"):
        parser.add_argument(option, required=True)
    parser.add_argument("--where", type=pair, action="append", default=[])
    parser.add_argument("--only", default="")
    for option in ("--title", "--x-label", "--y-label"):
        parser.add_argument(option, default="")
    parser.add_argument("--y-scale", type=float, default=1)
    parser.add_argument("--x-max", type=float)
    parser.add_argument("--y-max", type=float)
    parser.add_argument("--x-log", action="store_true")
    parser.add_argument("--legend", choices=["inside", "right"], default="right")
    options = parser.parse_args()
    labels = dict(pair(item) for item in options.only.split(",") if item)
    series = read(
        options.data, options.x, options.y, options.series, options.where, labels, options.y_scale
    )
    document = chart(
        series,
        options.title,
        options.x_label or options.x,
        options.y_label or options.y,
        x_log=options.x_log,
        x_max=options.x_max,
        y_max=options.y_max,
        beside=options.legend == "right",
    )
    pathlib.Path(options.out).write_text(document)


if __name__ == "__main__":
    main()
