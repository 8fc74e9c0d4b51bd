#!/usr/bin/env python3
"""Draws what was measured of neurons and of reading them (docs/NEURON-READS.md), from
Benchmarks/data, and prints that page's table of bundles:

    Benchmarks/plot_neurons.py

docs/neurons-window.svg, docs/neurons-recall.svg (neuron_study.py) and docs/bundle-reads.svg
(compare_reads.py).
"""
import csv
import pathlib
import statistics

from plot import chart

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = ROOT / "Benchmarks/data"
RANK_DRAWN = "384"
# As many as there are colours, the mean included; the layers between are alike.
LAYERS_DRAWN = ("0", "7", "6", "5", "1", "2")

# Of a shape: bytes of a neuron that are of use, how reads go row by row (blocks of 4 KiB, and of
# the drive's own 512 bytes), the bundle, and how many neurons it holds.
SHAPES = [
    ("`shell-relu2`, 512 wide, Q8_0", 544 + 512, "544+512", "4096", 3),
    ("2,560 wide, Q8_0", 2720 + 2560, "2720+2560", "12288", 2),
    ("2,560 wide, F16", 5120 + 5120, "5120+5120", "12288", 1),
    ("4,096 wide, F32 (the paper's)", 16384 + 16384, "16384+16384", "32768", 1),
]
DEPTHS = (1, 8, 32)


def rows(name):
    with open(DATA / name, newline="") as file:
        return list(csv.DictReader(file))


def by_layer(points):
    """Points of each layer that is drawn, by label, and of all layers' mean."""
    everything = {}
    for _, x, y in points:
        everything.setdefault(x, []).append(y)
    series = {"mean of all": [(x, statistics.mean(ys)) for x, ys in everything.items()]}
    for layer in LAYERS_DRAWN:
        series[f"layer {layer}"] = [(x, y) for its, x, y in points if its == layer]
    return series


def draw_windows():
    points = [(row["layer"], float(row["window"]), 100 * float(row["union"]))
              for row in rows("neurons-window.csv")]
    (ROOT / "docs/neurons-window.svg").write_text(
        chart(by_layer(points), "Neurons that fired within the last tokens, shell-relu2-q8_0",
              "window, tokens", "% of the layer's neurons"))


def draw_recalls():
    points = [(row["layer"], 100 * float(row["recall"]), 100 * float(row["fetched"]))
              for row in rows("neurons-recall.csv") if row["rank"] == RANK_DRAWN]
    (ROOT / "docs/neurons-recall.svg").write_text(
        chart(by_layer(points), f"What a recall costs, predictors of rank {RANK_DRAWN}",
              "% of the neurons that fire that are fetched", "% of the layer's neurons fetched"))


def reads():
    """(kind, depth, fio or Sluice) -> medians' (turns, bytes) per second; and turns by pass."""
    found = {}
    for row in rows("bundle-reads.csv"):
        tool = "fio" if row["through"] == "fio" else "Sluice"
        speed = (float(row["turns_per_second"]), float(row["bytes_per_second"]))
        found.setdefault((row["kind"], int(row["depth"]), tool), []).append(speed)
    return found


def draw_reads(found):
    series = {}
    for tool in ("Sluice", "fio"):
        for depth in reversed(DEPTHS):
            line = series.setdefault(f"{tool}, {depth} at a time", [])
            for (kind, its, its_tool), speeds in found.items():
                size = kind.split("/")[0]
                if size.isdigit() and (its, its_tool) == (depth, tool):
                    rate = statistics.median(speed for _, speed in speeds)
                    line.append((int(size) / 1024, rate / 1e9))
    for line in series.values():
        line.sort()
    (ROOT / "docs/bundle-reads.svg").write_text(
        chart(series, "Scattered reads by size, at fixed depth (medians)", "size of a read, KiB",
              "GB/s", x_log=True))


def useful(found, kind, depth, bytes_per_turn):
    """Useful bytes per second in each pass."""
    return [turns * bytes_per_turn for turns, _ in found[(kind, depth, "Sluice")]]


def print_table(found):
    print("| shape | bundle | in flight | rows, 4 KiB blocks | rows, 512 B blocks | bundles |"
          " against rows | one neuron wanted |")
    print("|---|---|---|---|---|---|---|---|")
    for name, neuron, apart, bundle, count in SHAPES:
        for depth in DEPTHS:
            blocks = useful(found, apart, depth, neuron)
            key = (f"{apart}/512", depth, "Sluice")
            # Rows that are whole blocks are read the same way, whatever the blocks are.
            sectors = useful(found, key[0], depth, neuron) if key in found else None
            together = useful(found, bundle, depth, neuron * count)
            gains = [statistics.median(b / a for a, b in zip(line, together))
                     for line in (blocks, sectors) if line]
            rate = [f"{statistics.median(line) / 1e6:.1f}" if line else "the same"
                    for line in (blocks, sectors, together)]
            print(f"| {name} | {count} in {int(bundle) >> 10} KiB | {depth} | "
                  f"{' | '.join(rate)} | {' / '.join(f'{gain:.2f}' for gain in gains)} × | "
                  f"{' / '.join(f'{gain / count:.2f}' for gain in gains)} × |")


def main():
    draw_windows()
    draw_recalls()
    found = reads()
    draw_reads(found)
    print_table(found)


if __name__ == "__main__":
    main()
