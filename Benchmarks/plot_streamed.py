#!/usr/bin/env python3
"""Draws what compare_streamed.py and `sluice tune` measured, as docs/streamed-MODEL.svg and
docs/drive.svg.

    Benchmarks/plot_streamed.py                                    # from Benchmarks/data/*.csv
    Benchmarks/plot_streamed.py --tune MODEL [--library DIR]       # measures the drive first
"""
import argparse
import csv
import json
import pathlib
import statistics
import subprocess

from plot import chart

ROOT = pathlib.Path(__file__).resolve().parent.parent
DRIVE = ROOT / "Benchmarks/data/drive.csv"
STREAMED = ROOT / "Benchmarks/data/streamed.csv"
FIELDS = ["drive", "pattern", "read_bytes", "depth", "bytes_per_second"]


def rows_of(path):
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def tune(model, library):
    """Measures the drive that holds `model`, and writes its figures."""
    command = [ROOT / ".build/release/sluice", "tune", "--json", "--model", model]
    command += ["--library", library] if library else []
    figures = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    name = f"{figures['device']['name']} {figures['device']['model']}".strip()
    with open(DRIVE, "w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        for speed in figures["speeds"]:
            writer.writerow({"drive": name, "pattern": speed["pattern"],
                             "read_bytes": speed["read_bytes"], "depth": speed["depth"],
                             "bytes_per_second": round(speed["bytes_per_second"])})


def label(read_bytes):
    return f"{read_bytes >> 20} MiB" if read_bytes >= 1 << 20 else f"{read_bytes >> 10} KiB"


def draw_drive():
    rows = [row for row in rows_of(DRIVE) if row["pattern"] == "scattered"]
    if not rows:
        return
    series = {}
    for row in sorted(rows, key=lambda row: int(row["read_bytes"])):
        point = (float(row["depth"]), float(row["bytes_per_second"]) / 1e9)
        series.setdefault(label(int(row["read_bytes"])), []).append(point)
    title = f"Scattered reads of {rows[0]['drive']}, by size and number in flight"
    (ROOT / "docs/drive.svg").write_text(
        chart(series, title, "reads in flight", "GB/s", x_log=True))


def name_of(row):
    if row["engine"] == "sluice":
        return "Sluice"
    return f"llama.cpp, read-ahead {row['read_ahead_kib']} KiB"


def draw_streamed():
    rows = [row for row in rows_of(STREAMED)
            if row["status"] == "ok" and not row["read_bytes_per_second_max"]]
    for model in dict.fromkeys(row["model"] for row in rows):
        found = {}
        for row in rows:
            if row["model"] != model:
                continue
            cap = int(row["cap_bytes"]) / 2**20
            values = [(name_of(row), row["generated_tokens_per_second"]),
                      ("what flash allows", row["flash_limit_tokens_per_second"])]
            for name, value in values:
                if value:
                    found.setdefault(name, {}).setdefault(cap, []).append(float(value))
        series = {name: [(cap, statistics.median(values)) for cap, values in sorted(line.items())]
                  for name, line in found.items()}
        if max(len(line) for line in series.values()) < 2:
            continue  # one budget is no curve
        (ROOT / f"docs/streamed-{model}.svg").write_text(
            chart(series, f"Generating with {model}, cold, by memory cap", "memory cap, MiB",
                  "tokens/s", beside=False))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tune", metavar="MODEL")
    parser.add_argument("--library")
    arguments = parser.parse_args()
    if arguments.tune:
        tune(arguments.tune, arguments.library)
    draw_drive()
    draw_streamed()


if __name__ == "__main__":
    main()
