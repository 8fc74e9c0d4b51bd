#!/usr/bin/env python3
"""Import beside `cp`: alternating runs, each from a cold and then from a warm page cache.

    make build
    Benchmarks/compare_import.py MODEL.gguf --runs 3 [--folder FOLDER]

Both end when the bytes are on the disk: `sluice import` synchronises its file itself, `cp` is
followed by `sync FILE`. Outputs go to FOLDER (the GGUF's own) and are removed.
"""
import argparse
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent


def evict(path):
    subprocess.run(["sync"], check=True)
    file = os.open(path, os.O_RDONLY)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(file)


def warm(path):
    with open(path, "rb", buffering=0) as file:
        while file.read(1 << 24):
            pass


def timed(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    result = subprocess.run(command, shell=True, stderr=subprocess.PIPE, text=True,
                            stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    if result.returncode != 0:
        sys.exit(f"{command}\nfailed: {result.stderr.strip()[-300:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", help="where the copies go")
    arguments = parser.parse_args()
    source = os.path.abspath(arguments.model)
    size = os.path.getsize(source)
    program = ROOT / ".build/release/sluice"
    print("| page cache | command | seconds | MB/s of the GGUF file | processor seconds |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir=arguments.folder or os.path.dirname(source)) as folder:
        commands = {
            "sluice import": f"'{program}' import '{source}' --library '{folder}' --name copy",
            "cp, sync": f"cp '{source}' '{folder}/copy.gguf' && sync '{folder}/copy.gguf'"}
        for state, prepare in (("cold", evict), ("warm", warm)):
            figures = {name: [] for name in commands}
            for _ in range(arguments.runs):
                for name, command in commands.items():
                    for made in pathlib.Path(folder).iterdir():
                        made.unlink()
                    subprocess.run(["sync"], check=True)
                    prepare(source)
                    figures[name].append(timed(command))
            for name, runs in figures.items():
                seconds = statistics.median(run[0] for run in runs)
                spent = statistics.median(run[1] for run in runs)
                print(f"| {state} | `{name}` | {seconds:.2f} | {size / seconds / 1e6:.0f} "
                      f"| {spent:.2f} |", flush=True)


if __name__ == "__main__":
    main()
