#!/usr/bin/env python3
"""What keeping some tokens of a prompt costs: perplexity of what follows, by what is kept.

    Benchmarks/prompt_quality.py MODEL TEXT [--prompt-tokens N] [--scored-tokens N] [--prompts N]
                                 [--kept N,N,...] [--ways NAME,NAME,...] [--kv-bits B]
                                 [--sluice PROGRAM]

Cuts the text into prompts, and runs `sluice eval --prompt-tokens` to score what follows on each:
  - next: the text goes on,
  - again: the prompt's last 64 tokens are 64 of its beginning once more, and what follows is what
    followed there: who remembers that knows it.
Of each prompt is kept: all; what SnapKV keeps (--kv-snap-tokens); what GemFilter computes
(--kv-gem-tokens); the most recent tokens alone.
"""

import argparse
import json
import math
import subprocess

CUE_TOKENS = 64
# SnapKV is told how many are kept besides the last ones.
ASKING_TOKENS = 32


def sluice_tokens(sluice, model, path):
    command = [sluice, "tokenize", model, "--file", path]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [int(word) for word in printed.split()]


def loss(arguments, prompt, following, *options):
    """The mean loss of what follows on a prompt, but for the first token."""
    context = arguments.prompt_tokens + arguments.scored_tokens
    command = [arguments.sluice, "eval", arguments.model, "--json", "--resident"]
    command += ["--context", str(context), "--kv-bits", arguments.kv_bits]
    command += ["--prompt-tokens", str(len(prompt)), *options]
    command += ["--tokens", ",".join(map(str, prompt + following))]
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return json.loads(run.stdout)["nll"]


def cases(arguments, tokens):
    """Prompts of the text, and what follows on them."""
    length, scored = arguments.prompt_tokens, arguments.scored_tokens
    found = {"next": [], "again": []}
    for index in range(arguments.prompts):
        first = index * (length + scored)
        if first + length + scored > len(tokens):
            break
        text = tokens[first : first + length + scored]
        found["next"].append((text[:length], text[length:]))
        early = length // 8
        cue = text[early : early + CUE_TOKENS]
        after = text[early + CUE_TOKENS : early + CUE_TOKENS + scored]
        found["again"].append((text[: length - CUE_TOKENS] + cue, after))
    return found


def ways(arguments):
    yield "all", lambda prompt, following: loss(arguments, prompt, following)
    for kept in map(int, arguments.kept.split(",")):
        snap = ("--kv-snap-tokens", str(kept - ASKING_TOKENS))
        yield f"SnapKV {kept}", lambda prompt, following, snap=snap: loss(
            arguments, prompt, following, *snap
        )
        gem = ("--kv-gem-tokens", str(kept))
        yield f"GemFilter {kept}", lambda prompt, following, gem=gem: loss(
            arguments, prompt, following, *gem
        )
        yield f"recent {kept}", lambda prompt, following, kept=kept: loss(
            arguments, prompt[-kept:], following
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("text")
    parser.add_argument("--prompt-tokens", type=int, default=1024)
    parser.add_argument("--scored-tokens", type=int, default=128)
    parser.add_argument("--prompts", type=int, default=6)
    parser.add_argument("--kept", default="512,256,128", help="tokens kept, in pages of 64")
    parser.add_argument("--ways", default="all,SnapKV,GemFilter,recent")
    parser.add_argument("--kv-bits", default="16")
    parser.add_argument("--sluice", default="sluice", help="the program")
    arguments = parser.parse_args()
    tokens = sluice_tokens(arguments.sluice, arguments.model, arguments.text)
    found = cases(arguments, tokens)
    print(f"{len(found['next'])} prompts of {arguments.prompt_tokens} tokens", flush=True)
    for name, way in ways(arguments):
        if not name.startswith(tuple(arguments.ways.split(","))):
            continue
        means = {
            kind: sum(way(*case) for case in own) / len(own) for kind, own in found.items()
        }
        printed = ", ".join(f"{kind} {math.exp(mean):.3f}" for kind, mean in means.items())
        print(f"{name:14} {printed}", flush=True)


if __name__ == "__main__":
    main()
