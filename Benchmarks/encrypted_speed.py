#!/usr/bin/env python3
"""What encryption costs: a packed model and its encrypted copy, by turns, with the same memory.

    make build
    Benchmarks/encrypted_speed.py MODEL.sluice [--memory 500M] [--runs 5]
        [--cap-command "capped.sh 600M --read-bps 500M --"]

Makes a key and the encrypted copy beside nothing else, in a temporary folder of the model's drive.
The cap command is put before each run: for instance one that limits memory and the drive's speed.
Prints a table: medians of tokens/s and flash MB/s of both, and the ratio run by run.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIELDS = ["prompt_tokens_per_second", "generated_tokens_per_second", "flash_bytes_per_second"]


def run(program, file, key, arguments):
    """One run's figures."""
    command = [*arguments.cap_command.split(), program, "bench", file, "--memory",
               arguments.memory, "--prompt", arguments.prompt, "--generate", arguments.generate,
               "--context", arguments.context, "--runs", 1, "--json"]
    command += ["--threads", arguments.threads] if arguments.threads else []
    result = subprocess.run([str(word) for word in command], text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, env={**os.environ, "SLUICE_MODEL_KEYS": key})
    if result.returncode != 0:
        sys.exit(f"{file}: {result.stderr.strip()[-300:]}")
    return json.loads(result.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--memory", default="500M")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--prompt", type=int, default=64)
    parser.add_argument("--generate", type=int, default=16)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--cap-command", default="")
    parser.add_argument("--program", default=str(ROOT / ".build/release/sluice"))
    arguments = parser.parse_args()
    folder = tempfile.mkdtemp(dir=pathlib.Path(arguments.model).resolve().parent)
    try:
        key, copy = f"{folder}/key", f"{folder}/encrypted.sluice"
        pathlib.Path(key).write_bytes(os.urandom(32))
        subprocess.run([arguments.program, "encrypt", arguments.model, copy, "--model-keys", key],
                       check=True, stderr=subprocess.DEVNULL)
        pairs = []
        for number in range(arguments.runs):
            order = [arguments.model, copy] if number % 2 == 0 else [copy, arguments.model]
            found = {file: run(arguments.program, file, key, arguments) for file in order}
            pairs.append((found[arguments.model], found[copy]))
            print(*(f"{name} {found[arguments.model][name]:.4g} {found[copy][name]:.4g}"
                    for name in FIELDS), file=sys.stderr)
    finally:
        shutil.rmtree(folder)
    print("| | plain | encrypted | ratio, median (least to most) |\n|---|---|---|---|")
    for name in FIELDS:
        plain = statistics.median(pair[0][name] for pair in pairs)
        sealed = statistics.median(pair[1][name] for pair in pairs)
        ratios = sorted(pair[1][name] / pair[0][name] for pair in pairs)
        print(f"| {name} | {plain:.4g} | {sealed:.4g} | {statistics.median(ratios):.3f} "
              f"({ratios[0]:.3f} to {ratios[-1]:.3f}) |")


if __name__ == "__main__":
    main()
