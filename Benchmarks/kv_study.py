#!/usr/bin/env python3
"""How keys and values of a model bear being stored in few bits, and what would cure it.

    pip install gguf numpy
    sluice tokenize MODEL --file TEXT > TOKENS
    Benchmarks/kv_study.py MODEL.gguf TOKENS [--context N] [--tokens-max N]
                           [--error-tokens N] [--formats 32,4,...]

Runs an `arcee`, `llama` or `qwen3moe` model in numpy, 32-bit floats, and prints two tables.

Errors, as KIVI (arXiv 2402.02750, table 2) has them: keys, and values, in codes whose step and
minimum are shared by 32 channels of a token ("per token") or by 32 tokens of a channel ("per
channel"). Each is |difference| / |exact| of a layer in the Frobenius norm, the mean of all
layers, in percent: of the keys and values themselves, of the attention weights (after the
softmax) with coded keys, and of the attention output with coded values, before its projection.

Perplexity by format, each window from scratch. `2` and `channel-B` leave the page of 64 tokens
that a query is in exact, the others have every key and value in codes. The formats:

    32, 16, 8, 2, k8v4  as sluice stores them (docs/KV-CACHE.md)
    4, k4v8, k4v2       keys with a step for each token and head, as sluice stored them first
    hadamard-B          keys are rotated by a Hadamard matrix, by head, after RoPE; then B bits
    hadamard-both-B     values too
    smooth-B            SmoothAttention, alpha 0.5: each pair of RoPE's channels is divided by the
                        root of the largest key seen in it (in the first window), then B bits
    open-FORMAT         the same, and the page that a query is in is exact
    centred-B           before coding, each channel's mean (of the first window) is taken off keys
                        and values. Keys need no more: it changes a query's scores all alike. The
                        values' is added to the output
    centred-hadamard-B  the same, then keys and values are rotated
    channel-B           keys in groups of 64 tokens of a channel; values as in B bits. With 4
                        bits, what sluice stores now
"""

import argparse
import math
import pathlib

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize

PAGE = 64
GROUP = 32
FORMATS = (
    "32,8,4,2,k8v4,k4v8,open-4,hadamard-4,hadamard-both-4,smooth-4,centred-4,centred-hadamard-4,"
    "channel-4"
)


def normed(x, weight, epsilon):
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + epsilon) * weight


def silu(x):
    return x / (1 + np.exp(-np.clip(x, -80, 80)))


def softmax(scores):
    np.exp(scores - scores.max(axis=-1, keepdims=True), out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    return scores


class Model:
    """A decoder in 32-bit floats. `attend` computes attention: layer, q, k, v -> output."""

    def __init__(self, path):
        reader = GGUFReader(path)
        self.metadata = {name: field.contents() for name, field in reader.fields.items()}
        self.architecture = self.metadata["general.architecture"]
        if self.architecture not in ("arcee", "llama", "qwen3moe"):
            raise SystemExit(f"{path} is of another architecture, {self.architecture}")
        self.tensors = {
            t.name: dequantize(t.data, t.tensor_type)
            .astype(np.float32)
            .reshape([int(n) for n in reversed(t.shape)])
            for t in reader.tensors
        }
        self.layers, self.heads = self.key("block_count"), self.key("attention.head_count")
        self.kv_heads = self.key("attention.head_count_kv")
        self.head_width = self.tensors["blk.0.attn_k.weight"].shape[0] // self.kv_heads
        self.epsilon = self.key("attention.layer_norm_rms_epsilon")
        # Channels that RoPE turns together: neighbours, or those half a head apart.
        pairs = np.arange(self.head_width).reshape(
            (2, -1) if self.architecture == "qwen3moe" else (-1, 2)
        )
        self.pairs = pairs if self.architecture == "qwen3moe" else pairs.T

    def key(self, name):
        return self.metadata[f"{self.architecture}.{name}"]

    def weight(self, layer, name):
        return self.tensors[f"blk.{layer}.{name}.weight"]

    def norm(self, x, layer, name):
        return normed(x, self.weight(layer, name), self.epsilon)

    def rotate(self, x):
        angles = self.key("rope.freq_base") ** (
            -2.0 * np.arange(self.head_width // 2) / self.head_width
        )
        phase = np.arange(len(x))[:, None, None] * angles
        cos, sin = np.cos(phase).astype(np.float32), np.sin(phase).astype(np.float32)
        first, second = self.pairs
        y, a, b = np.empty_like(x), x[..., first], x[..., second]
        y[..., first], y[..., second] = a * cos - b * sin, a * sin + b * cos
        return y

    def projections(self, layer, x):
        q, k, v = (
            (x @ self.weight(layer, f"attn_{part}").T).reshape(len(x), -1, self.head_width)
            for part in "qkv"
        )
        if self.architecture == "qwen3moe":
            q, k = self.norm(q, layer, "attn_q_norm"), self.norm(k, layer, "attn_k_norm")
        return self.rotate(q), self.rotate(k), v

    def experts(self, layer, x):
        shares = softmax(x @ self.weight(layer, "ffn_gate_inp").T)
        chosen = np.argsort(-shares, axis=1)[:, : self.key("expert_used_count")]
        picked = np.take_along_axis(shares, chosen, axis=1)
        picked /= picked.sum(axis=1, keepdims=True)
        gate, up, down = (self.weight(layer, f"ffn_{n}_exps") for n in ("gate", "up", "down"))
        y = np.zeros_like(x)
        for expert in range(len(gate)):
            token, place = np.nonzero(chosen == expert)
            row = x[token]
            inner = silu(row @ gate[expert].T) * (row @ up[expert].T)
            y[token] += picked[token, place][:, None] * (inner @ down[expert].T)
        return y

    def feed_forward(self, layer, x):
        if self.architecture == "qwen3moe":
            return self.experts(layer, x)
        inner = x @ self.weight(layer, "ffn_up").T
        if self.architecture == "arcee":
            inner = np.maximum(inner, 0) ** 2
        else:
            inner *= silu(x @ self.weight(layer, "ffn_gate").T)
        return inner @ self.weight(layer, "ffn_down").T

    def hidden(self, tokens, attend):
        """The last norm's output for one window."""
        x = self.tensors["token_embd.weight"][tokens].copy()
        for layer in range(self.layers):
            q, k, v = self.projections(layer, self.norm(x, layer, "attn_norm"))
            y = attend(layer, q, k, v)
            x += y.reshape(len(x), -1) @ self.weight(layer, "attn_output").T
            x += self.feed_forward(layer, self.norm(x, layer, "ffn_norm"))
        return normed(x, self.tensors["output_norm.weight"], self.epsilon)

    def loss(self, tokens, attend):
        """The sum of nll over one window's tokens but the first."""
        output = self.tensors.get("output.weight", self.tensors["token_embd.weight"])
        x, wanted, total = self.hidden(tokens, attend)[:-1], np.array(tokens[1:]), 0.0
        for start in range(0, len(x), 256):
            logits = x[start : start + 256] @ output.T
            top = logits.max(axis=1)
            sums = np.exp(logits - top[:, None]).sum(axis=1, dtype=np.float64)
            rows = np.arange(len(logits))
            total += float((np.log(sums) + top - logits[rows, wanted[start : start + 256]]).sum())
        return total


def coded(x, bits):
    """What x becomes where the last axis shares a step and a minimum, both halves (ckernels.h)."""
    low, high = x.min(axis=-1, keepdims=True), x.max(axis=-1, keepdims=True)
    least = low.astype(np.float16)
    least = np.where(least > low, np.nextafter(least, np.float16(-np.inf)), least)
    m = least.astype(np.float32)
    wanted = (high - m) / (2**bits - 1)
    step = wanted.astype(np.float16)
    step = np.where(step < wanted, np.nextafter(step, np.float16(np.inf)), step)
    s = np.maximum(step, np.float16(6e-8)).astype(np.float32)
    return np.rint(np.clip((x - m) / s, 0, 2**bits - 1)) * s + m


def by_token(x, bits, group=None):
    """Codes of `group` channels of a token and head, of all where None."""
    parts = x.reshape(*x.shape[:-1], -1, group or x.shape[-1])
    return coded(parts, bits).reshape(x.shape)


def by_channel(x, bits, group):
    """Codes of `group` tokens of a channel; the last group may be shorter."""
    padded = np.concatenate([x, np.repeat(x[-1:], -len(x) % group, axis=0)])
    parts = padded.reshape(-1, group, *x.shape[1:])
    codes = np.moveaxis(coded(np.moveaxis(parts, 1, -1), bits), -1, 1)
    return codes.reshape(padded.shape)[: len(x)]


def hadamard(width):
    matrix = np.ones((1, 1), np.float32)
    while len(matrix) < width:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix / np.float32(math.sqrt(width))


def rotated(x, bits):
    turn = hadamard(x.shape[-1])
    return by_token(x @ turn, bits) @ turn.T


class Smoothing:
    """SmoothAttention: each layer's divisors of channels, from the first keys that it sees."""

    def __init__(self, pairs, bits):
        self.pairs, self.bits, self.divisors = pairs, bits, {}

    def keys(self, layer, k):
        if layer not in self.divisors:
            largest = np.abs(k).max(axis=0)
            tied = largest[..., self.pairs].max(axis=-2)
            divisor = np.empty_like(largest)
            divisor[..., self.pairs] = np.sqrt(np.maximum(tied, 1e-5))[..., None, :]
            self.divisors[layer] = divisor
        divisor = self.divisors[layer]
        return by_token(k / divisor, self.bits) * divisor


class Centring:
    """Takes each channel's mean off, as the first window of a layer has it, and puts it back."""

    def __init__(self, code, bits):
        self.code, self.bits, self.means = code, bits, {}

    def one(self, where, x):
        mean = self.means.setdefault(where, x.mean(axis=0))
        return self.code(x - mean, self.bits) + mean

    def both(self, layer, k, v):
        return self.one((layer, "k"), k), self.one((layer, "v"), v)


def stored(x, bits, are_keys):
    """Keys or values as pages hold them; keys of 4 bits as they first did."""
    if bits >= 16:
        return x.astype(np.float16).astype(np.float32) if bits == 16 else x
    if bits > 2:
        return by_token(x, bits)
    return by_channel(x, 2, GROUP) if are_keys else by_token(x, 2, GROUP)


def codec(name, pairs):
    """Layer, k, v -> coded k, coded v; and whether the page being filled is exact."""
    if name.startswith("open-"):
        return codec(name.removeprefix("open-"), pairs)[0], True
    kind, _, last = name.rpartition("-")
    if kind == "":
        keys, _, values = last.removeprefix("k").partition("v")
        kb, vb = int(keys), int(values or keys)
        return lambda _, k, v: (stored(k, kb, True), stored(v, vb, False)), 2 in (kb, vb)
    bits = int(last)
    if kind == "hadamard":
        return lambda _, k, v: (rotated(k, bits), by_token(v, bits)), False
    if kind == "hadamard-both":
        return lambda _, k, v: (rotated(k, bits), rotated(v, bits)), False
    if kind == "smooth":
        smoothing = Smoothing(pairs, bits)
        return lambda layer, k, v: (smoothing.keys(layer, k), by_token(v, bits)), False
    if kind in ("centred", "centred-hadamard"):
        return Centring(by_token if kind == "centred" else rotated, bits).both, False
    if kind == "channel":
        return lambda _, k, v: (by_channel(k, bits, PAGE), stored(v, bits, False)), True
    raise SystemExit(f"unknown format {name}")


def hidden_scores(count):
    return np.triu(np.full((count, count), -np.inf, np.float32), 1)


def attention(encode, exact_page):
    """Causal attention on coded keys and values."""

    def attend(layer, q, k, v):
        count, heads, width = q.shape
        group, out = heads // k.shape[1], np.empty_like(q)
        mask, (kc, vc) = hidden_scores(count), encode(layer, k, v)
        pages = [slice(at, min(at + PAGE, count)) for at in range(0, count, PAGE)]
        for head in range(heads):
            kv, own = head // group, q[:, head] / np.float32(math.sqrt(width))
            scores = own @ kc[:, kv].T
            if exact_page:
                for page in pages:
                    scores[page, page] = own[page] @ k[page, kv].T
            weights = softmax(scores + mask)
            out[:, head] = weights @ vc[:, kv]
            if exact_page:
                for page in pages:
                    out[page, head] += weights[page, page] @ (v[page, kv] - vc[page, kv])
        return out

    return attend


class Errors:
    """Exact attention that adds up what codes would change: layer, what -> squares."""

    WAYS = {"per token": by_token, "per channel": by_channel}

    def __init__(self, bits):
        self.bits, self.squares = bits, {}

    def add(self, layer, what, exact, other=None):
        difference = exact if other is None else exact - other
        where = self.squares.setdefault((layer, what), 0.0)
        self.squares[layer, what] = where + float(np.square(difference, dtype=np.float64).sum())

    def attend(self, layer, q, k, v):
        count, heads, width = q.shape
        group, out, mask = heads // k.shape[1], np.empty_like(q), hidden_scores(count)
        ways = {
            (bits, way): (code(k, bits, GROUP), code(v, bits, GROUP))
            for bits in self.bits
            for way, code in self.WAYS.items()
        }
        self.add(layer, "keys", k)
        self.add(layer, "values", v)
        for way, (kc, vc) in ways.items():
            self.add(layer, ("keys", way), k, kc)
            self.add(layer, ("values", way), v, vc)
        for head in range(heads):
            kv, own = head // group, q[:, head] / np.float32(math.sqrt(width))
            weights = softmax(own @ k[:, kv].T + mask)
            out[:, head] = weights @ v[:, kv]
            self.add(layer, "weights", weights)
            self.add(layer, "output", out[:, head])
            for way, (kc, vc) in ways.items():
                self.add(layer, ("weights", way), weights, softmax(own @ kc[:, kv].T + mask))
                self.add(layer, ("output", way), out[:, head], weights @ vc[:, kv])
        return out

    def mean(self, layers, what, way):
        return float(
            np.mean(
                [
                    math.sqrt(self.squares[layer, (what, way)] / self.squares[layer, what])
                    for layer in range(layers)
                ]
            )
        )

    def table(self, layers):
        print("| bits | error of | per token | per channel | ratio |\n|---|---|---|---|---|")
        for bits in self.bits:
            for what in ("keys", "weights", "values", "output"):
                token, channel = (self.mean(layers, what, (bits, way)) for way in self.WAYS)
                better = token / channel if what in ("keys", "weights") else channel / token
                shown = f"{100 * token:.2f} % | {100 * channel:.2f} % | {better:.2f}"
                print(f"| {bits} | {what} | {shown} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("tokens", type=pathlib.Path, help="a file of token ids")
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--tokens-max", type=int, help="tokens of the text to score")
    parser.add_argument("--error-tokens", type=int, default=4096, help="for errors; 0: none")
    parser.add_argument(
        "--formats", default=FORMATS, help=f"for perplexity; empty: none ({FORMATS})"
    )
    arguments = parser.parse_args()
    model = Model(arguments.model)
    tokens = [int(word) for word in arguments.tokens.read_text().split()][: arguments.tokens_max]
    starts = range(0, len(tokens), arguments.context)
    windows = [tokens[start : start + arguments.context] for start in starts]
    if arguments.error_tokens:
        errors = Errors((2, 4))
        for window in windows[: -(-arguments.error_tokens // arguments.context)]:
            model.hidden(window, errors.attend)
        errors.table(model.layers)
    if not arguments.formats:
        return
    scored, exact = len(tokens) - len(windows), None
    print(f"\n{scored} tokens scored\n\n| format | nll | change |\n|---|---|---|")
    for name in arguments.formats.split(","):
        attend = attention(*codec(name, model.pairs))
        nll = sum(model.loss(window, attend) for window in windows) / scored
        exact = nll if exact is None else exact
        print(f"| {name} | {nll:.5f} | {100 * (math.exp(nll - exact) - 1):+.3f} % |", flush=True)


if __name__ == "__main__":
    main()
