#!/usr/bin/env python3
"""How fast small records come from a drive, one by one and bundled: read-benchmark (the queue and
the reader that stream weights) and fio, in turns.

    swift build -c release --product read-benchmark
    Benchmarks/compare_reads.py FILE [--passes 15] [--out Benchmarks/data/bundle-reads.csv]

FILE is a large file on the drive; only read. Kinds of reading are read-benchmark's: bytes, or
bytes+bytes for two records of different matrices, and what reads are aligned to. fio does the plain
sizes. One row for each measurement; Benchmarks/plot_neurons.py takes medians.
"""
import argparse
import csv
import io
import json
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEPTHS = (1, 8, 32)
# A neuron's rows apart, aligned to the file system's blocks and to the drive's own, then bundled.
KINDS = ["512/512", "1024/512", "2048/512", "544+512", "544+512/512", "4096", "8192",
         "2720+2560", "2720+2560/512", "5120+5120", "5120+5120/512", "12288",
         "16384+16384", "32768", "16384", "65536"]
FIELDS = ["drive", "pass", "kind", "depth", "through", "turns_per_second", "bytes_per_turn",
          "bytes_per_second"]


def ours(file, kind, depth, milliseconds):
    command = [ROOT / ".build/release/read-benchmark", file, kind, "--depths", str(depth),
               "--milliseconds", str(milliseconds)]
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return next(csv.DictReader(io.StringIO(text)))


def fio(file, size, depth, milliseconds):
    command = ["fio", "--name=reads", "--readonly", "--rw=randread", "--direct=1",
               "--ioengine=io_uring", f"--bs={size}", f"--iodepth={depth}", f"--filename={file}",
               f"--runtime={milliseconds}ms", "--time_based", "--norandommap",
               "--randrepeat=0", "--output-format=json"]
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    speed = json.loads(text[text.index("{"):])["jobs"][0]["read"]
    return {"through": "fio", "turns_per_second": round(speed["iops"]), "bytes_per_turn": size,
            "bytes_per_second": speed["bw_bytes"]}


def drive(file):
    name = subprocess.run(["findmnt", "-no", "SOURCE,FSTYPE", "-T", file], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    return " ".join(name.removeprefix("/dev/").split())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--passes", type=int, default=15)
    parser.add_argument("--milliseconds", type=int, default=200)
    parser.add_argument("--out", default=ROOT / "Benchmarks/data/bundle-reads.csv")
    options = parser.parse_args()
    name = drive(options.file)
    rows = []
    for number in range(options.passes):
        for kind in KINDS:
            for depth in DEPTHS:
                found = [ours(options.file, kind, depth, options.milliseconds)]
                size = kind.split("/")[0]
                if size.isdigit():
                    found.append(fio(options.file, int(size), depth, options.milliseconds))
                rows += [{"drive": name, "pass": number, "kind": kind, "depth": depth} | row
                         for row in found]
        print(f"pass {number + 1} of {options.passes}", flush=True)
    with open(options.out, "w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({field: row[field] for field in FIELDS} for row in rows)


if __name__ == "__main__":
    main()
