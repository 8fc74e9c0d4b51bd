#!/usr/bin/env python3
"""What reading only a part of what is on flash costs in quality: perplexity of a text's tokens.

    Benchmarks/cold_quality.py MODEL TEXT [--context N] [--tokens-max N] [--kv-memory SIZE]
                               [--kv-bits B] [--sluice PROGRAM]

Runs `sluice eval --kv-memory SIZE` and prints nll (nats a token) and perplexity of the same text
where each token reads all that is on flash (the same as in memory), and with --kv-cold-tokens:
the 2,048, 1,024 and 512 of them that can matter most.
"""

import argparse
import json
import math
import subprocess


def nll(arguments, tokens, *options):
    command = [arguments.sluice, "eval", arguments.model, "--json", "--resident"]
    command += ["--context", str(arguments.context), "--kv-bits", arguments.kv_bits]
    command += ["--tokens", ",".join(map(str, tokens)), *options]
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return json.loads(run.stdout)["nll"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("text")
    parser.add_argument("--context", type=int, default=8192)
    parser.add_argument("--tokens-max", type=int, default=6000)
    parser.add_argument("--kv-memory", default="48M")
    parser.add_argument("--kv-bits", default="16")
    parser.add_argument("--sluice", default="sluice")
    arguments = parser.parse_args()
    command = [arguments.sluice, "tokenize", arguments.model, "--file", arguments.text]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    tokens = [int(word) for word in printed.split()][:arguments.tokens_max]
    memory = ["--kv-memory", arguments.kv_memory]
    rows = [("all", memory)]
    rows += [(str(n), [*memory, "--kv-cold-tokens", str(n)]) for n in (2048, 1024, 512)]
    print(f"{len(tokens)} tokens, {arguments.kv_bits} bits, KV memory {arguments.kv_memory}")
    print("| tokens read of those on flash | nll | perplexity |\n|---|---|---|")
    for name, options in rows:
        value = nll(arguments, tokens, *options)
        print(f"| {name} | {value:.4f} | {math.exp(value):.3f} |", flush=True)


if __name__ == "__main__":
    main()
