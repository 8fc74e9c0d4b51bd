#!/usr/bin/env python3
"""Sluice beside llama.cpp with everything in memory: alternating runs, medians, ratios.

    pip install llama-cpp-python gguf numpy        # in a virtual environment; builds llama.cpp
    make build
    PEER_PYTHON=venv/bin/python Benchmarks/compare_resident.py MODEL.gguf... --runs 5 --csv OUT.csv

Each model is packed first (not timed). A run is `sluice bench --resident`, then the peer's script
with `--resident`, llama.cpp's fastest in-memory path; both with the same threads, prompt and
generated tokens. OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE are unset for both. PEER_SCRIPT names the
peer's script when it is not at its usual place beside the repository.
"""
import argparse
import csv
import json
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIELDS = ["model", "engine", "run", "threads", "prompt_tokens", "prompt_tokens_per_second",
          "generated_tokens", "generated_tokens_per_second", "peak_resident_bytes", "file_bytes"]


def environment():
    return {name: value for name, value in os.environ.items()
            if name not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}


def output_of(command):
    result = subprocess.run(command, env=environment(), stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)
    if result.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\nfailed: {result.stderr.strip()[-400:]}")
    return json.loads(result.stdout)


def sluice(program, model, arguments):
    library = ["--library", arguments.library] if arguments.library else []
    return output_of([program, "bench", model, "--resident", "--threads", str(arguments.threads),
                      "--prompt", str(arguments.prompt), "--generate", str(arguments.generate),
                      "--runs", "1", "--json", *library])


def peer(model, arguments):
    script = os.environ.get("PEER_SCRIPT", str(ROOT.parent / "shared/tools/peer.py"))
    python = os.environ.get("PEER_PYTHON", sys.executable)
    return output_of([python, script, model, "--resident", "--warmup",
                      "--threads", str(arguments.threads), "--prompt", str(arguments.prompt),
                      "--generate", str(arguments.generate)])


def measure(program, model, arguments):
    rows = []
    sluice(program, model, arguments)  # packs the model, and warms the page cache for neither
    for run in range(arguments.runs):
        for engine in ("sluice", "llama.cpp"):
            figures = (sluice(program, model, arguments) if engine == "sluice"
                       else peer(model, arguments))
            rows.append({
                "model": pathlib.Path(model).stem, "engine": engine, "run": run,
                "threads": arguments.threads, "prompt_tokens": arguments.prompt,
                "prompt_tokens_per_second": round(figures["prompt_tokens_per_second"], 2),
                "generated_tokens": arguments.generate,
                "generated_tokens_per_second": round(figures["generated_tokens_per_second"], 2),
                "peak_resident_bytes": figures["peak_resident_bytes"],
                "file_bytes": os.path.getsize(model)})
            print(f"  {rows[-1]['model']} {engine}: prompt "
                  f"{rows[-1]['prompt_tokens_per_second']}, generate "
                  f"{rows[-1]['generated_tokens_per_second']}", file=sys.stderr, flush=True)
    return rows


def table(rows):
    def median(model, engine, field):
        return statistics.median(float(row[field]) for row in rows
                                 if row["model"] == model and row["engine"] == engine)
    print("| model | generate, tokens/s: Sluice / llama.cpp | ratio "
          "| prompt, tokens/s: Sluice / llama.cpp | ratio | peak / file: Sluice, llama.cpp |")
    print("|---|---|---|---|---|---|")
    for model in dict.fromkeys(row["model"] for row in rows):
        cells = [model]
        for field in ("generated_tokens_per_second", "prompt_tokens_per_second"):
            ours, theirs = median(model, "sluice", field), median(model, "llama.cpp", field)
            cells += [f"{ours:.1f} / {theirs:.1f}", f"{ours / theirs:.2f}"]
        cells.append(", ".join(
            f"{median(model, e, 'peak_resident_bytes') / median(model, e, 'file_bytes'):.2f}"
            for e in ("sluice", "llama.cpp")))
        print("| " + " | ".join(cells) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", help="GGUF files")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--generate", type=int, default=64)
    parser.add_argument("--library", help="where Sluice keeps the packed models")
    parser.add_argument("--csv", help="where every run's figures are written")
    parser.add_argument("--table", metavar="CSV", help="only print the table of earlier figures")
    arguments = parser.parse_args()
    if arguments.table:
        with open(arguments.table, newline="") as file:
            return table(list(csv.DictReader(file)))
    if not arguments.models:
        parser.error("no models")
    for model in arguments.models:
        if not os.path.exists(model):
            parser.error(f"{model}: no such file")
    program = str(ROOT / ".build/release/sluice")
    if not os.path.exists(program):
        parser.error("`make build` first")
    rows = []
    for model in arguments.models:
        rows += measure(program, model, arguments)
        if arguments.csv:
            with open(arguments.csv, "w", newline="") as file:
                writer = csv.DictWriter(file, FIELDS)
                writer.writeheader()
                writer.writerows(rows)
    table(rows)


if __name__ == "__main__":
    main()
