#!/usr/bin/env python3
"""What sliding costs in quality: perplexity over a text of several contexts, by what is kept.

    Benchmarks/sliding_quality.py MODEL TEXT [--context N] [--tokens-max N] [--kv-bits B]
                                  [--sluice PROGRAM]

Runs `sluice eval` and prints nll (nats a token) and perplexity of the same text
  - with --kv-when-full slide: the first 64 tokens and a recent window (sinks),
  - the same --without-sinks: the recent window alone,
  - recomputed: every 64 tokens from scratch, after as many tokens as the window has (two
    evaluations for each 64 tokens, so this takes long),
  - in windows of the context, each from scratch.
"""

import argparse
import json
import math
import subprocess

PAGE_TOKENS = 64


def sluice_tokens(sluice, model, path):
    command = [sluice, "tokenize", model, "--file", path]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [int(word) for word in printed.split()]


def loss(arguments, tokens, *options):
    """The sum of the losses, and how many tokens it is of when they are scored as one."""
    command = [arguments.sluice, "eval", arguments.model, "--json", "--resident"]
    command += ["--context", str(arguments.context), "--kv-bits", arguments.kv_bits]
    command += ["--tokens", ",".join(map(str, tokens)), *options]
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    nll = json.loads(run.stdout)["nll"]
    count = len(tokens) - 1
    if not options:
        count = len(tokens) - math.ceil(len(tokens) / arguments.context)
    return nll * count, count


def recomputed(arguments, tokens):
    # One page of the context is the sinks' second one.
    window = arguments.context - PAGE_TOKENS
    total, count = loss(arguments, tokens[:window])
    for start in range(window, len(tokens), PAGE_TOKENS):
        end = min(start + PAGE_TOKENS, len(tokens))
        text = tokens[end - window : end]
        before = text[: window - (end - start)]
        (whole, wholes), (part, parts) = loss(arguments, text), loss(arguments, before)
        total, count = total + whole - part, count + wholes - parts
    return total, count


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("text")
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--tokens-max", type=int, help="tokens of the text to score")
    parser.add_argument("--kv-bits", default="16")
    parser.add_argument("--sluice", default="sluice", help="the program")
    arguments = parser.parse_args()
    tokens = sluice_tokens(arguments.sluice, arguments.model, arguments.text)
    tokens = tokens[: arguments.tokens_max]
    print(f"{len(tokens)} tokens, context of {arguments.context}", flush=True)
    slide = ("--kv-when-full", "slide")
    ways = [
        ("sinks and window", lambda: loss(arguments, tokens, *slide)),
        ("window alone", lambda: loss(arguments, tokens, *slide, "--without-sinks")),
        ("recomputed", lambda: recomputed(arguments, tokens)),
        ("from scratch", lambda: loss(arguments, tokens)),
    ]
    for name, way in ways:
        total, count = way()
        mean = total / count
        print(f"{name:18} {count} scored, nll {mean:.4f}, ppl {math.exp(mean):.4f}", flush=True)


if __name__ == "__main__":
    main()
