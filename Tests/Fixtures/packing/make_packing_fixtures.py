#!/usr/bin/env python3
"""Writes decode_TYPE.bin, requantized.gguf and requantized.json here, and Sources/CPacking/grids.c.

    pip install gguf numpy
    python3 Tests/Fixtures/packing/make_packing_fixtures.py

The output is the same every time (gguf 0.19.0, numpy 2.4.6). A decode_TYPE.bin is a little-endian
uint32 number of blocks, the blocks, and for every element its float32 bits. Blocks: two ordinary
ones, two of random bits throughout, one of zeros and one of ones. requantized.gguf is a tiny model
with matrices and vectors of all these types (but Q2_0, which the gguf package cannot write);
requantized.json has its logits in float64 (../models/exact_forward.py).
"""

import json
import pathlib
import struct
import sys

import gguf
import numpy as np

import weight_types

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "models"))

import exact_forward  # noqa: E402
import make_models  # noqa: E402
import vocabularies  # noqa: E402

GRIDS = {
    "iq2_xxs": ("IQ2_XXS", [8, 25, 43], 2),
    "iq2_xs": ("IQ2_XS", [8, 25, 43], 2),
    "iq2_s": ("IQ2_S", [8, 25, 43], 2),
    "iq3_xxs": ("IQ3_XXS", [4, 12, 20, 28, 36, 44, 52, 62], 3),
    "iq3_s": ("IQ3_S", [1, 3, 5, 7, 9, 11, 13, 15], 3),
    "iq1": ("IQ1_S", [-1, 0, 1], 2),
}
COMMENT = """#include "grids.h"

// The codebooks of the IQ formats: facts of the format, as the gguf Python package gives them
// (gguf.quants). One entry of 8 values is 16 bits, 2 bits a value from the lowest; one of 4 values
// is 12 bits, 3 bits a value. What the bits stand for is in codes.c.
// Tests/Fixtures/packing/make_packing_fixtures.py writes this file.
"""
TYPES_OF_LAYERS = [
    ["iq2_xxs", "iq1_s", "iq2_s", "iq3_xxs", "iq2_xs", "iq1_m", "tq2_0"],
    ["tq1_0", "nvfp4", "q8_k", "q1_0", "q8_1", "iq3_s", "iq2_xxs"],
]
VECTOR_TYPES = ["i8", "i16", "i32", "i64"]


def write_grids(path):
    text = COMMENT
    for name, (source, values, bits) in GRIDS.items():
        traits = getattr(gguf.quants, source)
        traits.init_grid()
        grid = traits.grid.reshape(-1, traits.grid_shape[1])
        words = [
            sum(values.index(int(value)) << (bits * i) for i, value in enumerate(entry))
            for entry in grid
        ]
        lines = [
            "    " + ", ".join(f"0x{word:04x}" for word in words[at : at + 12]) + ","
            for at in range(0, len(words), 12)
        ]
        text += f"\nconst uint16_t grid_{name}[{len(words)}] = {{\n" + "\n".join(lines) + "\n};\n"
    path.write_text(text)


def write_decoded(name, random):
    _, elements, size, _ = weight_types.TYPES[name]
    count = 2 if elements > 1 else 32
    blocks = [
        np.zeros((count, size), np.uint8),
        random.integers(0, 256, size=(count, size), dtype=np.uint8),
        np.zeros((1, size), np.uint8),
        np.full((1, size), 255, np.uint8),
    ]
    if name == "f64":
        blocks[0][:] = random.normal(size=(count, 1)).view(np.uint8)
    else:
        blocks[0] = weight_types.random_blocks(name, count, 0.05, random)
    blocks = np.concatenate(blocks)
    values = weight_types.decode(name, blocks)
    assert values.dtype == np.float32 and len(values) == len(blocks) * elements
    with open(HERE / f"decode_{name}.bin", "wb") as file:
        file.write(struct.pack("<I", len(blocks)) + blocks.tobytes() + values.tobytes())


class Tensors:
    def __init__(self, writer, random):
        self.writer, self.random = writer, random

    def matrix(self, name, kind, deviation, rows, columns):
        number, elements, size, _ = weight_types.TYPES[kind]
        blocks = weight_types.random_blocks(
            kind, rows * columns // elements, deviation, self.random
        )
        data = blocks.reshape(rows, columns // elements * size)
        self.writer.add_tensor(name, data, raw_dtype=gguf.GGMLQuantizationType(number))

    def vector(self, name, kind, width):
        values = 1 + self.random.integers(0, 2, size=width)
        if kind == "f64":
            values = 1 + 0.1 * self.random.normal(size=width)
        number = gguf.GGMLQuantizationType(weight_types.TYPES[kind][0])
        self.writer.add_tensor(
            name, values.astype(weight_types.NUMBERS[kind]), raw_dtype=number)


def write_model(path):
    model = {**make_models.DEFAULTS, "width": 256, "ffn": 256, "kv_heads": 1}
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny-requantized")
    make_models.write_hyperparameters(writer, model, 64)
    count, _ = vocabularies.bpe(writer, "qwen2")
    writer.add_vocab_size(count)
    tensors = Tensors(writer, np.random.default_rng(11))
    tensors.matrix("token_embd.weight", "iq3_s", 1, count, 256)
    tensors.matrix("output.weight", "q8_1", 2.5 / 16, count, 256)
    tensors.vector("output_norm.weight", "f64", 256)
    for layer, types in enumerate(TYPES_OF_LAYERS):
        prefix = f"blk.{layer}."
        tensors.vector(prefix + "attn_norm.weight", VECTOR_TYPES[layer * 2], 256)
        tensors.vector(prefix + "ffn_norm.weight", VECTOR_TYPES[layer * 2 + 1], 256)
        shapes = [
            ("attn_q", 0.7, 256), ("attn_k", 0.7, 64), ("attn_v", 1, 64), ("attn_output", 1, 256),
            ("ffn_gate", 1, 256), ("ffn_up", 1, 256), ("ffn_down", 1, 256),
        ]  # fmt: skip
        for (name, gain, rows), kind in zip(shapes, types):
            tensors.matrix(f"{prefix}{name}.weight", kind, gain / 16, rows, 256)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def dequantize(data, kind):
    """In place of the gguf package's, which does not know every type."""
    name = weight_types.NAMES[int(kind)]
    size = weight_types.TYPES[name][2]
    return weight_types.decode(name, np.ascontiguousarray(data).view(np.uint8).reshape(-1, size))


def main():
    np.seterr(all="ignore")
    # The package's size of Q8_1 is that of an older ggml.
    gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType.Q8_1] = (32, 36)
    write_grids(HERE.parents[2] / "Sources/CPacking/grids.c")
    for seed, name in enumerate(weight_types.TYPES):
        write_decoded(name, np.random.default_rng(seed))
    write_model(HERE / "requantized.gguf")
    exact_forward.dequantize = dequantize
    tokens = [300, *range(40, 63)]
    exact = exact_forward.evaluate(HERE / "requantized.gguf", tokens, 0)
    fixture = {
        "source": "exact_forward.py",
        "tokens": tokens,
        "nll": round(exact["nll"], 7),
        "logits": [round(value, 6) for value in exact["logits"]],
    }
    (HERE / "requantized.json").write_text(json.dumps(fixture, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
