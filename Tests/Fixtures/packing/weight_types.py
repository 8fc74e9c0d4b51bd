"""Random blocks of the GGUF types that import re-quantises, and what they decode to.

The `gguf` package decodes most of them. Of Q8_1, Q8_K, Q1_0 and Q2_0 it knows at most the sizes:
those are decoded here from their layouts in ggml-common.h.
"""

import gguf
import numpy as np

# Name: type number, elements and bytes of a block, place of the block's scale (None: it has none).
TYPES = {
    "q8_1": (9, 32, 36, 0),
    "q8_k": (15, 256, 292, 0),
    "iq2_xxs": (16, 256, 66, 0),
    "iq2_xs": (17, 256, 74, 0),
    "iq3_xxs": (18, 256, 98, 0),
    "iq1_s": (19, 256, 50, 0),
    "iq3_s": (21, 256, 110, 0),
    "iq2_s": (22, 256, 82, 0),
    "i8": (24, 1, 1, None),
    "i16": (25, 1, 2, None),
    "i32": (26, 1, 4, None),
    "i64": (27, 1, 8, None),
    "f64": (28, 1, 8, None),
    "iq1_m": (29, 256, 56, 48),
    "tq1_0": (34, 256, 54, 52),
    "tq2_0": (35, 256, 66, 64),
    "nvfp4": (40, 64, 36, None),
    "q1_0": (41, 128, 18, 0),
    "q2_0": (42, 64, 18, 0),
}
NUMBERS = {"i8": "<i1", "i16": "<i2", "i32": "<i4", "i64": "<i8", "f64": "<f8"}
HALF = np.dtype("<f2")
NAMES = {number: name for name, (number, *_) in TYPES.items()}


def decode(name, blocks):
    """Floats of blocks (n, bytes)."""
    count = len(blocks)
    if name in NUMBERS:
        return np.ascontiguousarray(blocks).view(NUMBERS[name]).astype(np.float32).ravel()
    if name == "q8_k":
        unit, codes = np.ascontiguousarray(blocks[:, :4]).view("<f4"), blocks[:, 4:260]
        return (unit * codes.view(np.int8).astype(np.float32)).ravel()
    unit = np.ascontiguousarray(blocks[:, :2]).view(HALF).astype(np.float32)
    if name == "q8_1":
        return (unit * np.ascontiguousarray(blocks[:, 4:]).view(np.int8)).ravel()
    if name == "q1_0":
        bits = np.unpackbits(blocks[:, 2:], axis=1, bitorder="little")
        return (unit * (2 * bits.astype(np.float32) - 1)).ravel()
    if name == "q2_0":
        codes = blocks[:, 2:, None] >> np.array([0, 2, 4, 6], np.uint8) & 3
        return (unit * (codes.reshape(count, 64).astype(np.float32) - 1)).ravel()
    kind = gguf.GGMLQuantizationType[name.upper()]
    return gguf.quants.dequantize(np.ascontiguousarray(blocks), kind).ravel()


def set_scale(name, blocks, scale):
    """Gives every block the same scale."""
    at = TYPES[name][3]
    if name == "q8_k":
        blocks[:, :4] = np.frombuffer(np.float32(scale).tobytes(), np.uint8)
    elif name == "iq1_m":
        # A nibble in the upper half of the second byte of four words.
        bits = int(np.float16(scale).view(np.uint16))
        for word in range(4):
            place = at + word * 2 + 1
            blocks[:, place] = blocks[:, place] & 15 | (bits >> (4 * word) & 15) << 4
    elif at is not None:
        blocks[:, at : at + 2] = np.frombuffer(np.float16(scale).tobytes(), np.uint8)


def random_blocks(name, count, deviation, random):
    """Random blocks whose numbers' standard deviation is about `deviation`."""
    _, _, size, scale_at = TYPES[name]
    blocks = random.integers(0, 256, size=(count, size), dtype=np.uint8)
    if name == "nvfp4":
        # 8-bit scales of 3 fraction bits: two binades about the wanted one.
        exponent = int(np.clip(np.round(7 + np.log2(deviation / 2)), 0, 14))
        blocks[:, :4] = random.integers(8 * exponent, 8 * exponent + 16, size=(count, 4))
    elif name == "tq2_0":
        # Three of the four codes are used.
        codes = random.integers(0, 3, size=(4, count, 64), dtype=np.uint8)
        blocks[:, :64] = sum(codes[i] << (2 * i) for i in range(4))
    if scale_at is not None:
        set_scale(name, blocks, 1)
        set_scale(name, blocks, deviation / decode(name, blocks[:64]).std())
    return blocks
