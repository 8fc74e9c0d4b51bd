#!/usr/bin/env python3
"""What `sluice show` expects of models of real sizes in little memory: docs/MODELS.md.

    pip install gguf numpy
    Benchmarks/models_for_machines.py --program .build/release/sluice \
        --vocabulary ../shared/vocabs/ggml-vocab-qwen2.gguf --work DIRECTORY [MODEL...]

Each model is written by synthesize.py without weights (their sizes are all that counts), packed,
shown in each size of memory, and removed: DIRECTORY needs room for the largest, 20 GB. What the
machine can do is what `sluice tune` found before; the table says it.
"""

import argparse
import pathlib
import re
import subprocess
import sys

# What people call it: the shape, and its layers.
MODELS = {
    "Qwen3 1.7B": ("qwen3-1.7b", 28),
    "Gemma 4 E2B": ("gemma4-e2b", 35),
    "Qwen3 4B": ("qwen3-4b", 36),
    "Qwen3.5 4B": ("qwen35", 32),
    "Qwen3 8B": ("qwen3-8b", 36),
    "LFM2 8B-A1B": ("lfm2moe", 24),
    "gpt-oss 20b": ("gpt-oss", 24),
    "Gemma 4 26B-A4B": ("gemma4", 30),
    "GLM-4.7-Flash 30B-A3B": ("deepseek2", 47),
    "Qwen3.6 35B-A3B": ("qwen35moe", 40),
}
MEMORY = ["1G", "2G", "4G", "8G"]
HERE = pathlib.Path(__file__).resolve().parent


def shown(program, library, memory):
    """The context, bytes from flash for each token and tokens/s; None where it does not fit."""
    command = [program, "show", "m", "--library", library, "--memory", memory]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        print(memory, result.stderr.strip().splitlines()[-1], file=sys.stderr)
        return None
    find = lambda pattern: (re.search(pattern, result.stdout, re.M) or [None, None])[1]
    speed = find(r"^expected +([\d.]+) tokens/s")
    if speed is None:
        sys.exit("no prediction: run sluice tune first")
    context = int(find(r"^context +(\d+) tokens at once"))
    return context, find(r"([\d.]+ \w+) from flash for each token") or "0", speed


def row(name, arguments, library):
    shape, layers = MODELS[name]
    source = arguments.work / "model.gguf"
    synthesize = [sys.executable, HERE / "synthesize.py", shape, source, "--empty"]
    synthesize += ["--layers", str(layers), "--vocabulary", arguments.vocabulary]
    subprocess.run(synthesize, check=True)
    packing = [arguments.program, "import", source, "--consume", "--library", library]
    subprocess.run([*packing, "--name", "m"], check=True, capture_output=True)
    size = (library / "m.sluice").stat().st_size / 1e9
    cells = []
    for memory in MEMORY:
        found = shown(arguments.program, library, memory)
        if found is None:
            cells.append("–")
            continue
        context, flash, speed = found
        text = f"{context // 1024}k" if context >= 1024 else str(context)
        cells.append(f"{speed} ({flash}; {text})")
    (library / "m.sluice").unlink()
    return f"| {name} | {size:.1f} | {' | '.join(cells)} |"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", metavar="MODEL")
    parser.add_argument("--program", required=True)
    parser.add_argument("--vocabulary", required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    library = arguments.work / "library"
    print(f"| model, 4 bits | file, GB | {' | '.join(m[:-1] + ' GiB' for m in MEMORY)} |")
    print("|---" * (2 + len(MEMORY)) + "|")
    for name in arguments.names or MODELS:
        print(row(name, arguments, library), flush=True)


if __name__ == "__main__":
    main()
