"""Latent attention in float64 numpy, as DeepSeek-V2's paper has it (arXiv 2405.04434, section 2.1):
keys and values are made of latents, nothing is absorbed. For exact_forward.py."""

import numpy as np


def is_latent(model, layer):
    return f"blk.{layer}.attn_kv_a_mqa.weight" in model.tensors


def attend(model, layer, x, positions):
    """x: (tokens, width), normed"""
    prefix, count, heads = f"blk.{layer}.", len(x), model.heads[layer]
    rank, turned = model.key("attention.kv_lora_rank"), model.key("rope.dimension_count")
    queries = x
    name = "attn_q"
    if prefix + "attn_q_a.weight" in model.tensors:
        queries = model.row_norm(prefix + "attn_q_a_norm", model.linear(prefix + "attn_q_a", x))
        name = "attn_q_b"
    q = model.linear(prefix + name, queries).reshape(count, heads, -1)
    q_plain, q_turned = q[..., :-turned], model.rotate(layer, q[..., -turned:], positions)
    both = model.linear(prefix + "attn_kv_a_mqa", x)
    latents = model.row_norm(prefix + "attn_kv_a_norm", both[:, :rank])
    k_turned = model.rotate(layer, both[:, None, rank:], positions)[:, 0]
    k_plain = np.einsum("hcn,tc->thn", model.tensors[prefix + "attn_k_b.weight"], latents)
    values = np.einsum("hvc,tc->thv", model.tensors[prefix + "attn_v_b.weight"], latents)
    scores = np.einsum("qhn,khn->hqk", q_plain, k_plain)
    scores += np.einsum("qhr,kr->hqk", q_turned, k_turned)
    scores *= scale(model, q.shape[-1])
    scores = np.where(positions[:, None] >= positions, scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    y = np.einsum("hqk,khv->qhv", weights, values)
    if prefix + "attn_gate.weight" in model.tensors:  # one for each head
        y = y / (1 + np.exp(-model.linear(prefix + "attn_gate", x)))[:, :, None]
    return model.linear(prefix + "attn_output", y.reshape(count, -1))


def scale(model, width):
    """The files' yarn_log_multiplier is a tenth of YaRN's mscale_all_dim."""
    multiplier = model.key("rope.scaling.yarn_log_multiplier", 0.0)
    growth = np.log(model.key("rope.scaling.factor", 1.0))
    return (1 + multiplier * growth) ** 2 / np.sqrt(width)
