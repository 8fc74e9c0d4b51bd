#!/usr/bin/env python3
"""Writes dequantize_FORMAT.bin: block bytes and what the `gguf` package decodes them to.

Needs: pip install gguf numpy. Run in this folder; the output is the same every time.

A file holds a little-endian uint32 number of blocks, the blocks as a GGUF file would store them,
then for every element its float32 bits. Blocks are random bits throughout (so also infinite, NaN
and denormal scales), then blocks with ordinary scales, all-zero and all-one blocks. F16 and BF16
step through their bit patterns.
"""

import struct

import gguf
import numpy as np

FORMATS = [
    "F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K", "Q2_K",
    "Q3_K", "IQ4_NL", "IQ4_XS", "MXFP4",
]  # fmt: skip
# Where the fp16 scales are in a block.
SCALES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
    "Q2_K": [80, 82], "Q3_K": [108], "IQ4_NL": [0], "IQ4_XS": [0], "MXFP4": [],
}  # fmt: skip
EXTREMES = np.array(
    [
        0x0000, 0x8000, 0x0001, 0x83FF, 0x0400, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00, 0x3C00,
        0x2E66,
    ],
    dtype=np.uint16,
)  # fmt: skip


def quantized_blocks(name, block_bytes, random):
    count = 8 if block_bytes > 80 else 40
    blocks = random.integers(0, 256, size=(count, block_bytes), dtype=np.uint8)
    for index in range(count // 2, count):
        for at in SCALES[name]:
            if index % 4 == 0:
                scale = EXTREMES[index // 4 % len(EXTREMES)]
            else:
                scale = np.float16(random.normal() * 0.01).view(np.uint16)
            blocks[index, at : at + 2] = np.frombuffer(struct.pack("<H", int(scale)), np.uint8)
    fixed = [np.zeros(block_bytes, np.uint8), np.full(block_bytes, 255, np.uint8)]
    for scale in EXTREMES[:: 4 if block_bytes > 80 else 1]:
        block = random.integers(0, 256, size=block_bytes, dtype=np.uint8)
        for at in SCALES[name]:
            block[at : at + 2] = np.frombuffer(struct.pack("<H", int(scale)), np.uint8)
        fixed.append(block)
    return np.concatenate([blocks, np.stack(fixed)])


def plain_blocks(name, random):
    if name == "F32":
        return random.integers(0, 256, size=(512, 4), dtype=np.uint8)
    patterns = np.arange(0, 65536, 31, dtype=np.uint16)
    return patterns.view(np.uint8).reshape(-1, 2)


def main():
    np.seterr(all="ignore")
    for seed, name in enumerate(FORMATS):
        random = np.random.default_rng(seed)
        kind = gguf.GGMLQuantizationType[name]
        block_bytes = gguf.GGML_QUANT_SIZES[kind][1]
        if name in SCALES:
            blocks = quantized_blocks(name, block_bytes, random)
        else:
            blocks = plain_blocks(name, random)
        if name in ("F32", "F16"):
            dtype = np.float32 if name == "F32" else np.float16
            values = np.ascontiguousarray(blocks).view(dtype).astype(np.float32)
        else:
            values = gguf.quants.dequantize(blocks, kind)
        assert values.dtype == np.float32
        with open(f"dequantize_{name.lower()}.bin", "wb") as file:
            file.write(struct.pack("<I", len(blocks)))
            file.write(blocks.tobytes())
            file.write(values.tobytes())


main()
