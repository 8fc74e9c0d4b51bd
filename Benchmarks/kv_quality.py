#!/usr/bin/env python3
"""What each width of the KV cache costs in quality: perplexity over a text, by --kv-bits.

    Benchmarks/kv_quality.py MODEL.gguf TEXT [--context N] [--tokens-max N] [--bits 32,16,k8v4]
                             [--sluice PROGRAM] [--llama-tokens]

Runs `sluice eval` once for each width and prints a table: nll (nats a token), perplexity, and by
how much that is above the first width's (32 bits: exact). The text is scored in windows of the
context, each from scratch. Needs sluice, and with --llama-tokens, for models whose
pre-tokenization sluice does not know, `pip install llama-cpp-python`: token ids are then
llama.cpp's.
"""

import argparse
import json
import math
import pathlib
import subprocess

BITS = "32,16,8,4,2,k8v4,k4v8,k8v2,k4v2"
# One argument of a command is at most 128 KiB long.
ARGUMENT_BYTES_MAX = 120_000


def llama_tokens(model, text):
    import llama_cpp

    vocabulary = llama_cpp.Llama(model, vocab_only=True, verbose=False)
    return vocabulary.tokenize(text, add_bos=False, special=True)


def sluice_tokens(sluice, model, path):
    command = [sluice, "tokenize", model, "--file", path]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [int(word) for word in printed.split()]


def pieces(tokens, context):
    """As many whole windows of tokens as one argument holds, at a time."""
    longest = max(len(str(token)) for token in tokens) + 1
    step = ARGUMENT_BYTES_MAX // (longest * context) * context
    if step == 0:
        raise SystemExit(f"{context} tokens do not fit into one argument")
    return [tokens[start : start + step] for start in range(0, len(tokens), step)]


def scored(tokens, context):
    """Tokens that are predicted: all but the first of each window."""
    return len(tokens) - math.ceil(len(tokens) / context)


def evaluate(arguments, tokens, bits):
    """The mean nll of all tokens that are predicted."""
    total = 0.0
    for piece in pieces(tokens, arguments.context):
        command = [arguments.sluice, "eval", arguments.model, "--json", "--kv-bits", bits]
        command += ["--context", str(arguments.context)]
        command += ["--tokens", ",".join(map(str, piece))]
        run = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        total += json.loads(run.stdout)["nll"] * scored(piece, arguments.context)
    return total / scored(tokens, arguments.context)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("text", type=pathlib.Path)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--tokens-max", type=int, help="tokens of the text to score")
    parser.add_argument("--bits", default=BITS, help=f"widths, the exact one first ({BITS})")
    parser.add_argument("--sluice", default="sluice", help="the program")
    parser.add_argument("--llama-tokens", action="store_true", help="token ids by llama.cpp")
    arguments = parser.parse_args()
    if arguments.llama_tokens:
        tokens = llama_tokens(arguments.model, arguments.text.read_bytes())
    else:
        tokens = sluice_tokens(arguments.sluice, arguments.model, arguments.text)
    tokens = tokens[: arguments.tokens_max]
    count = scored(tokens, arguments.context)
    print(f"{len(tokens)} tokens, {count} scored, windows of {arguments.context}\n")
    print("| bits | nll | perplexity | change |\n|---|---|---|---|")
    exact = None
    for bits in arguments.bits.split(","):
        nll = evaluate(arguments, tokens, bits)
        exact = nll if exact is None else exact
        change = 100 * (math.exp(nll - exact) - 1)
        print(f"| {bits} | {nll:.5f} | {math.exp(nll):.4f} | {change:+.3f} % |", flush=True)


if __name__ == "__main__":
    main()
