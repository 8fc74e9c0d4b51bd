"""Encode float matrices in the 256-element block formats Q4_K, Q5_K and Q6_K.

Plainly: no search for the best scales. The layouts are the GGUF ones (ggml's block_q4_K,
block_q5_K, block_q6_K); the gguf package decodes them but does not encode.
"""

import numpy as np


def round_half(values):
    """A float16's bits as two bytes, and the float32 value that a reader will see."""
    half = values.astype(np.float16)
    return half.view(np.uint8).reshape(*values.shape, 2), half.astype(np.float32)


def affine_parts(values, levels):
    """For blocks (n, 8, 32): d and dmin as bytes, 6-bit scales and minima (n, 8), codes."""
    low = np.minimum(values.min(axis=2), 0)
    scale = (values.max(axis=2) - low) / (levels - 1)
    d_bytes, d = round_half(scale.max(axis=1) / 63)
    m_bytes, m = round_half((-low).max(axis=1) / 63)
    scales = np.clip(np.round(scale / np.maximum(d, 1e-12)[:, None]), 0, 63).astype(np.uint8)
    minima = np.clip(np.round(-low / np.maximum(m, 1e-12)[:, None]), 0, 63).astype(np.uint8)
    step = np.maximum(scales * d[:, None], 1e-12)[:, :, None]
    codes = np.round((values + (minima * m[:, None])[:, :, None]) / step)
    return d_bytes, m_bytes, scales, minima, np.clip(codes, 0, levels - 1).astype(np.uint8)


def packed_scales(scales, minima):
    """Eight 6-bit scales and eight 6-bit minima in 12 bytes."""
    first = scales[:, :4] | (scales[:, 4:] >> 4 << 6)
    second = minima[:, :4] | (minima[:, 4:] >> 4 << 6)
    third = (scales[:, 4:] & 15) | (minima[:, 4:] & 15) << 4
    return np.concatenate([first, second, third], axis=1)


def nibbles(codes):
    """(n, 8, 32) low four bits: each 32 bytes hold one sub-block low and the next one high."""
    pairs = (codes & 15).reshape(len(codes), 4, 2, 32)
    return (pairs[:, :, 0] | pairs[:, :, 1] << 4).reshape(len(codes), 128)


def encode_q4_k(values):
    blocks = values.reshape(-1, 8, 32)
    d, m, scales, minima, codes = affine_parts(blocks, 16)
    data = np.concatenate([d, m, packed_scales(scales, minima), nibbles(codes)], axis=1)
    return data.reshape(*values.shape[:-1], -1)


def encode_q5_k(values):
    blocks = values.reshape(-1, 8, 32)
    d, m, scales, minima, codes = affine_parts(blocks, 32)
    high = np.zeros((len(blocks), 32), np.uint8)
    for sub in range(8):
        high |= (codes[:, sub] >> 4) << sub
    data = np.concatenate([d, m, packed_scales(scales, minima), high, nibbles(codes)], axis=1)
    return data.reshape(*values.shape[:-1], -1)


def encode_q6_k(values):
    blocks = values.reshape(-1, 16, 16)
    scale = np.abs(blocks).max(axis=2) / 31
    d_bytes, d = round_half(scale.max(axis=1) / 127)
    scales = np.round(scale / np.maximum(d, 1e-12)[:, None]).astype(np.int8)
    step = np.maximum(scales * d[:, None], 1e-12)[:, :, None]
    codes = (np.clip(np.round(blocks / step), -32, 31) + 32).astype(np.uint8)
    groups = codes.reshape(-1, 2, 4, 32)  # half of the block, which of four runs, element
    low = np.concatenate(
        [
            groups[:, :, 0] & 15 | (groups[:, :, 2] & 15) << 4,
            groups[:, :, 1] & 15 | (groups[:, :, 3] & 15) << 4,
        ],
        axis=2,
    )
    high = sum((groups[:, :, run] >> 4) << (2 * run) for run in range(4)).astype(np.uint8)
    count = len(blocks)
    data = np.concatenate(
        [low.reshape(count, 128), high.reshape(count, 64), scales.view(np.uint8), d_bytes], axis=1
    )
    return data.reshape(*values.shape[:-1], -1)


ENCODERS = {"Q4_K": encode_q4_k, "Q5_K": encode_q5_k, "Q6_K": encode_q6_k}
