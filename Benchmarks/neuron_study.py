#!/usr/bin/env python3
"""Which neurons of a model with sparse activations fire, and what reading them would take.

    pip install gguf numpy
    sluice tokenize MODEL --file TEXT > TOKENS
    Benchmarks/neuron_study.py MODEL.gguf TOKENS FOLDER

Runs an `arcee` model in numpy over the tokens, and writes to FOLDER (docs/LLM-IN-A-FLASH.md):

    neurons-window.csv   union of the last k tokens' active neurons, and what a token adds to it
    neurons-bundles.csv  bytes read per token by bundle size and order, true activations, no
                         window; "friend": every neuron is stored again beside its closest friend
    neurons-recall.csv   share of neurons fetched at a recall, by a closed-form predictor's rank

Orders and predictors are learned from the first half of the tokens, everything is measured on the
second.
"""

import argparse
import csv
import pathlib

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize

BLOCK = 4096
WINDOWS = (1, 2, 4, 8, 16)
RANKS = (16, 32, 64, 128, 256, 384)
RECALLS = (0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.99)


class Model:
    """An arcee model (Llama's attention, squared-ReLU feed-forward) in 32-bit floats."""

    def __init__(self, path):
        reader = GGUFReader(path)
        self.metadata = {name: field.contents() for name, field in reader.fields.items()}
        if self.metadata["general.architecture"] != "arcee":
            raise SystemExit(f"{path} is not an arcee model")
        self.tensors = {
            t.name: dequantize(t.data, t.tensor_type)
            .astype(np.float32)
            .reshape([int(n) for n in reversed(t.shape)])
            for t in reader.tensors
        }
        up = next(t for t in reader.tensors if t.name == "blk.0.ffn_up.weight")
        self.row_bytes = up.n_bytes // int(up.shape[1])
        self.layers, self.heads = self.key("block_count"), self.key("attention.head_count")
        self.kv_heads = self.key("attention.head_count_kv")
        self.head_width = self.key("attention.key_length")
        self.epsilon = self.key("attention.layer_norm_rms_epsilon")

    def key(self, name):
        return self.metadata[f"arcee.{name}"]

    def weight(self, layer, name):
        return self.tensors[f"blk.{layer}.{name}.weight"]

    def norm(self, x, weight):
        return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + self.epsilon) * weight

    def rotate(self, x):
        pairs = np.arange(self.head_width // 2)
        angles = self.key("rope.freq_base") ** (-2.0 * pairs / self.head_width)
        phase = np.arange(len(x))[:, None, None] * angles
        cos, sin = np.cos(phase).astype(np.float32), np.sin(phase).astype(np.float32)
        y, a, b = np.empty_like(x), x[..., 0::2], x[..., 1::2]
        y[..., 0::2], y[..., 1::2] = a * cos - b * sin, a * sin + b * cos
        return y

    def attention(self, layer, x):
        count = len(x)
        q, k, v = (
            (x @ self.weight(layer, f"attn_{part}").T).reshape(count, -1, self.head_width)
            for part in "qkv"
        )
        q, k, group = self.rotate(q), self.rotate(k), self.heads // self.kv_heads
        hidden = np.triu(np.full((count, count), -np.inf, np.float32), 1)
        out = np.empty_like(q)
        for head in range(self.heads):
            scores = q[:, head] @ k[:, head // group].T / np.sqrt(self.head_width) + hidden
            weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
            out[:, head] = weights / weights.sum(axis=-1, keepdims=True) @ v[:, head // group]
        return out.reshape(count, -1) @ self.weight(layer, "attn_output").T

    def inputs(self, tokens):
        """Each layer's feed-forward input, tokens × width, in windows of the context."""
        context, found = self.key("context_length"), [[] for _ in range(self.layers)]
        for start in range(0, len(tokens), context):
            x = self.tensors["token_embd.weight"][tokens[start : start + context]].copy()
            for layer in range(self.layers):
                x += self.attention(layer, self.norm(x, self.weight(layer, "attn_norm")))
                normed = self.norm(x, self.weight(layer, "ffn_norm"))
                found[layer].append(normed)
                active = np.maximum(normed @ self.weight(layer, "ffn_up").T, 0) ** 2
                x += active @ self.weight(layer, "ffn_down").T
        return [np.concatenate(parts) for parts in found]


def window_rows(layer, fired):
    """Union of k tokens' neurons, and what the next token adds, as shares of all neurons."""
    sums = np.cumsum(np.pad(fired, ((1, 0), (0, 0))), axis=0, dtype=np.int32)
    for k in WINDOWS:
        union = (sums[k:] - sums[:-k]) > 0
        added = fired[k:] & ~union[: len(fired) - k]
        yield {
            "layer": layer,
            "window": k,
            "active": round(fired.mean(), 5),
            "union": round(union.mean(), 5),
            "added": round(added.mean(), 5),
        }


def cosines(fired):
    together = fired.T.astype(np.float32) @ fired.astype(np.float32)
    counts = np.maximum(np.diag(together), 1)
    similar = together / np.sqrt(np.outer(counts, counts))
    np.fill_diagonal(similar, -1)
    return similar, counts


def greedy_order(similar, counts, size):
    """Bundles that begin with the most frequent neuron left and take the most alike to them."""
    left, order = np.ones(len(counts), bool), []
    for seed in np.argsort(-counts, kind="stable"):
        if not left[seed]:
            continue
        left[seed] = False
        order.append(seed)
        closeness = similar[seed].copy()
        for _ in range(min(size - 1, int(left.sum()))):
            best = np.where(left, closeness, -np.inf).argmax()
            left[best] = False
            order.append(best)
            closeness += similar[best]
    return np.array(order)


def bundle_rows(layer, learned, fired, record):
    similar, counts = cosines(learned)
    active = fired.sum(axis=1).mean()
    for blocks in (1, 2, 4):
        size = blocks * BLOCK // record
        orders = {
            "natural": np.arange(fired.shape[1]),
            "frequency": np.argsort(-counts, kind="stable"),
            "co-activation": greedy_order(similar, counts, size),
        }
        for name, order in orders.items():
            padded = np.pad(fired[:, order], ((0, 0), (0, -len(order) % size)))
            touched = padded.reshape(len(fired), -1, size).any(axis=2).sum(axis=1).mean()
            yield {
                "layer": layer,
                "order": name,
                "neurons_per_bundle": size,
                "bytes_per_token": round(touched * blocks * BLOCK),
                "useful_bytes_per_token": round(active * record),
                "loaded_twice": 0,
            }
    friend = similar.argmax(axis=1)
    times = np.zeros(fired.shape, np.int32)
    for neuron, other in enumerate(friend):
        times[:, neuron] += fired[:, neuron]
        times[:, other] += fired[:, neuron]
    per_block = BLOCK // (2 * record)
    yield {
        "layer": layer,
        "order": "friend",
        "neurons_per_bundle": 2,
        "bytes_per_token": round(active * BLOCK / max(1, per_block)),
        "useful_bytes_per_token": round(active * record),
        "loaded_twice": round(np.maximum(times - 1, 0).sum() / len(fired) / active, 3),
    }


def recall_rows(layer, learned, measured, weights):
    """The best approximation of W·x by r numbers of x, and what a recall then costs."""
    mean = learned.mean(axis=0)
    centred = learned - mean
    covariance = centred.T @ centred / len(centred)
    covariance += 1e-4 * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    root = np.linalg.cholesky(covariance.astype(np.float64))
    left, sizes, right = np.linalg.svd(weights @ root, full_matrices=False)
    fired, inverse = measured @ weights.T > 0, np.linalg.inv(root)
    for rank in RANKS:
        decoder = left[:, :rank] * sizes[:rank]
        guess = (measured - mean) @ (right[:rank] @ inverse).T @ decoder.T + weights @ mean
        missed = np.sqrt(np.maximum((sizes[rank:] ** 2 * left[:, rank:] ** 2).sum(axis=1), 1e-12))
        guess /= missed
        ranked = np.sort(guess[fired])[::-1]
        for recall in RECALLS:
            least = ranked[min(len(ranked) - 1, int(recall * len(ranked)))]
            fetched = (guess >= least).mean()
            yield {
                "layer": layer,
                "rank": rank,
                "recall": recall,
                "density": round(fired.mean(), 5),
                "fetched": round(fetched, 5),
                "precision": round(recall * fired.mean() / fetched, 4),
            }


def write(path, rows):
    rows = list(rows)
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("tokens", help="a file of token ids")
    parser.add_argument("folder", type=pathlib.Path)
    arguments = parser.parse_args()
    model = Model(arguments.model)
    tokens = [int(word) for word in open(arguments.tokens).read().split()]
    half = len(tokens) // 2
    windows, bundles, recalls = [], [], []
    for layer, inputs in enumerate(model.inputs(tokens)):
        weights = model.weight(layer, "ffn_up")
        fired = inputs @ weights.T > 0
        windows += window_rows(layer, fired[half:])
        bundles += bundle_rows(layer, fired[:half], fired[half:], 2 * model.row_bytes)
        recalls += recall_rows(layer, inputs[:half], inputs[half:], weights)
        print(f"layer {layer}: {fired.mean():.4f} of neurons active")
    write(arguments.folder / "neurons-window.csv", windows)
    write(arguments.folder / "neurons-bundles.csv", bundles)
    write(arguments.folder / "neurons-recall.csv", recalls)


if __name__ == "__main__":
    main()
