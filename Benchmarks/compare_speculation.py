#!/usr/bin/env python3
"""Generation with and without self-speculation: alternating runs, medians, what was guessed.

    make build
    Benchmarks/compare_speculation.py MODEL@MEMORY... --runs 3 --csv OUT.csv

Each run is a process of its own: `sluice run --local --raw --stats` with one of the prompts below,
once with each of --policies, in turn. MODEL is whatever `sluice run --local` takes; a GGUF file is
packed first (not timed). Every policy must give the same text, or the script fails.

Prompts: `manual` and `code` are gone on with, `chat` is an ordinary question after another. What a
model makes of them is its own affair: at temperature 0 small models fall into loops, which is the
best case, and random weights never say anything twice, which is the worst. With --temperature 0.8
text is ordinary. `tokens per pass` says how much of a gain comes from the text.
"""
import argparse
import csv
import os
import pathlib
import re
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROMPTS = {
    "manual": """.SH SYNOPSIS
git-log - Show commit logs
.SH DESCRIPTION
Shows the commit logs.
""",
    "code": """#!/bin/bash
set -euo pipefail
backup_directory="/var/backups/database"
for file in "$backup_directory"/*.sql; do
    if [ -f "$file" ]; then
        gzip "$file"
    fi
done
for file in "$backup_directory"/*.gz; do
""",
    "chat": """<|im_start|>user
What is curl?<|im_end|>
<|im_start|>assistant
Transfers data from or to a server.<|im_end|>
<|im_start|>user
What is wget?<|im_end|>
<|im_start|>assistant
""",
}
ANSWER = re.compile(r"answer (\d+) tokens at ([\d.]+)/s")
GUESSES = re.compile(r"(\d+) of (\d+) guesses right")
FLASH = re.compile(r"([\d.]+) (B|KiB|MiB|GiB|TiB) from flash")
UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
FIELDS = ["model", "memory", "temperature", "prompt", "policy", "run", "tokens",
          "tokens_per_second", "drafted", "accepted", "tokens_per_pass", "flash_bytes_per_token"]


def generate(program, model, memory, prompt, policy, arguments):
    command = [program, "run", model, "--local", "--raw", "--stats",
               "--temperature", arguments.temperature, "--seed", str(arguments.seed),
               "--threads", str(arguments.threads), "--speculate", policy,
               "--context", str(arguments.context), "--max-tokens", str(arguments.tokens)]
    command += ["--resident"] if memory == "resident" else ["--memory", memory]
    command += ["--library", arguments.library] if arguments.library else []
    result = subprocess.run([*command, PROMPTS[prompt]], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)
    answer = ANSWER.search(result.stderr)
    if result.returncode != 0 or not answer:
        sys.exit(f"{' '.join(map(str, command))}\nfailed: {result.stderr.strip()[-400:]}")
    guesses = GUESSES.search(result.stderr)
    flash = FLASH.search(result.stderr)
    tokens = int(answer[1])
    accepted, drafted = (int(guesses[1]), int(guesses[2])) if guesses else (0, 0)
    return result.stdout, {
        "tokens": tokens, "tokens_per_second": float(answer[2]), "drafted": drafted,
        "accepted": accepted,
        # A pass brings the tokens that it accepts and one more.
        "tokens_per_pass": round(tokens / max(1, tokens - accepted), 2),
        # The prompt's own pass is among the bytes.
        "flash_bytes_per_token": round(float(flash[1]) * UNITS[flash[2]] / max(1, tokens))}


def measure(program, subject, arguments):
    model, _, memory = subject.rpartition("@")
    if not model:
        sys.exit(f"{subject}: expected MODEL@MEMORY, such as llama.gguf@480M or MODEL@resident")
    rows = []
    for prompt in arguments.prompts:
        texts = set()
        for run in range(-1, arguments.runs):
            for policy in arguments.policies:
                text, figures = generate(program, model, memory, prompt, policy, arguments)
                texts.add(text)
                if len(texts) != 1:
                    sys.exit(f"{subject}, {prompt}: with --speculate {policy} the text differs")
                if run < 0:
                    continue  # packs the model
                rows.append({"model": pathlib.Path(model).stem, "memory": memory,
                             "temperature": arguments.temperature, "prompt": prompt,
                             "policy": policy, "run": run, **figures})
                print(f"  {subject} {prompt} {policy}: {figures}", file=sys.stderr, flush=True)
    return rows


def table(rows):
    def median(key, field):
        return statistics.median(float(row[field]) for row in rows if key == tuple(
            row[name] for name in ("model", "memory", "prompt", "policy")))
    print("| model | memory | prompt | speculation | tokens/s | times off | tokens per pass "
          "| right of guessed | MiB per token |\n|---|---|---|---|---|---|---|---|---|")
    for key in dict.fromkeys((r["model"], r["memory"], r["prompt"], r["policy"]) for r in rows):
        speed = median(key, "tokens_per_second")
        off = (*key[:3], "off")
        ratio = f"{speed / median(off, 'tokens_per_second'):.2f}" if any(
            r["policy"] == "off" for r in rows) else ""
        print(f"| {' | '.join(key)} | {speed:.1f} | {ratio} | {median(key, 'tokens_per_pass'):.2f} "
              f"| {median(key, 'accepted'):.0f} of {median(key, 'drafted'):.0f} "
              f"| {median(key, 'flash_bytes_per_token') / (1 << 20):.1f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subjects", nargs="+", metavar="MODEL@MEMORY")
    parser.add_argument("--prompts", nargs="+", choices=PROMPTS, default=list(PROMPTS))
    parser.add_argument("--policies", nargs="+", default=["off", "auto"])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--temperature", default="0")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--library")
    parser.add_argument("--csv")
    parser.add_argument("--program", default=str(ROOT / ".build/release/sluice"))
    arguments = parser.parse_args()
    if not os.access(arguments.program, os.X_OK):
        sys.exit(f"{arguments.program}: not there; `make build` first")
    rows = [row for subject in arguments.subjects
            for row in measure(arguments.program, subject, arguments)]
    if arguments.csv:
        with open(arguments.csv, "w", newline="") as file:
            writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    table(rows)


if __name__ == "__main__":
    main()
