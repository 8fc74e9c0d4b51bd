"""Layers with a state, in float64 from the definitions: for exact_forward.py.

Sources: LFM2 (arXiv 2511.23404), Gated DeltaNet (2412.06464), Mamba 2 (2405.21060), llama.cpp's
graphs for Qwen3-Next, Qwen 3.5 and Granite 4, and the GGUF specification for the names.
"""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def is_recurrent(model, layer):
    prefix = f"blk.{layer}."
    return any(prefix + name in model.tensors for name in ("shortconv.conv.weight", "ssm_a"))


def mix(model, layer, x):
    """What the layer adds: x is (tokens, width), normed."""
    prefix = f"blk.{layer}."
    if prefix + "ssm_d" in model.tensors:
        return state_space(model, prefix, x)
    if prefix + "ssm_f_a.weight" in model.tensors:
        return kimi_delta_rule(model, prefix, x)
    if prefix + "ssm_a" in model.tensors:
        return delta_rule(model, prefix, x)
    before, after, values = np.split(model.linear(prefix + "shortconv.in_proj", x), 3, axis=-1)
    sums = convolve(model.tensors[prefix + "shortconv.conv.weight"], before * values)
    return model.linear(prefix + "shortconv.out_proj", after * sums)


def convolve(weights, x):
    """Each channel over the newest positions; weights are (channels, positions), oldest first."""
    length = weights.shape[-1]
    padded = np.concatenate([np.zeros((length - 1, x.shape[-1])), x])
    return sum(weights[:, j] * padded[j : j + len(x)] for j in range(length))


def delta_rule(model, prefix, x):
    width = model.key("ssm.state_size")
    heads, key_heads = model.key("ssm.time_step_rank"), model.key("ssm.group_count")
    group = heads // key_heads
    mixed = convolve(
        model.tensors[prefix + "ssm_conv1d.weight"], model.linear(prefix + "attn_qkv", x)
    )
    mixed = mixed * sigmoid(mixed)
    keys = key_heads * width
    q, k, v = (
        part.reshape(len(x), -1, width) for part in np.split(mixed, [keys, 2 * keys], axis=-1)
    )
    q, k = unit(q, model.epsilon) / np.sqrt(width), unit(k, model.epsilon)
    if prefix + "ssm_ba.weight" in model.tensors:
        # Of each head of keys its heads of values' steps, then their decays.
        both = model.linear(prefix + "ssm_ba", x).reshape(len(x), key_heads, 2, group)
        step, decay = both[:, :, 0].reshape(len(x), -1), both[:, :, 1].reshape(len(x), -1)
        head_of = np.arange(heads) // group
    else:
        step, decay = model.linear(prefix + "ssm_beta", x), model.linear(prefix + "ssm_alpha", x)
        head_of = np.arange(heads) % key_heads
    bias = model.tensors[prefix + "ssm_dt.bias"]
    kept = np.exp(model.tensors[prefix + "ssm_a"] * np.log1p(np.exp(decay + bias)))
    learnt = sigmoid(step)
    state, found = np.zeros((heads, width, width)), np.zeros((len(x), heads, width))
    for t in range(len(x)):
        query, key = q[t, head_of], k[t, head_of]
        state *= kept[t][:, None, None]
        error = learnt[t][:, None] * (v[t] - np.einsum("hkv,hk->hv", state, key))
        state += key[:, :, None] * error[:, None, :]
        found[t] = np.einsum("hkv,hk->hv", state, query)
    gate = model.linear(prefix + "attn_gate", x).reshape(found.shape)
    y = model.norm(found, model.tensors[prefix + "ssm_norm.weight"]) * gate * sigmoid(gate)
    return model.linear(prefix + "ssm_out", y.reshape(len(x), -1))


def kimi_delta_rule(model, prefix, x):
    """Kimi Delta Attention (arXiv 2510.26692): each number of a key decays by itself."""
    width = model.key("kda.head_dim")
    parts = []
    for part in "qkv":
        weights = model.tensors[prefix + f"ssm_conv1d_{part}.weight"]
        mixed = convolve(
            weights.reshape(-1, weights.shape[-1]), model.linear(prefix + "attn_" + part, x)
        )
        parts.append((mixed * sigmoid(mixed)).reshape(len(x), -1, width))
    q, k = unit(parts[0], model.epsilon) / np.sqrt(width), unit(parts[1], model.epsilon)
    v = parts[2]
    heads = v.shape[1]
    forgets = model.linear(prefix + "ssm_f_a", x) + model.tensors[prefix + "ssm_dt.bias"]
    forgets = forgets.reshape(v.shape) * model.tensors[prefix + "ssm_a"].reshape(heads, 1)
    kept = np.exp(model.key("kda.gate_lower_bound") * sigmoid(forgets))
    learnt = sigmoid(model.linear(prefix + "ssm_beta", x))
    state, found = np.zeros((heads, width, width)), np.zeros(v.shape)
    for t in range(len(x)):
        state *= kept[t][:, :, None]
        error = learnt[t][:, None] * (v[t] - np.einsum("hkv,hk->hv", state, k[t]))
        state += k[t][:, :, None] * error[:, None, :]
        found[t] = np.einsum("hkv,hk->hv", state, q[t])
    gate = sigmoid(model.linear(prefix + "ssm_g_a", x)).reshape(found.shape)
    y = model.norm(found, model.tensors[prefix + "ssm_norm.weight"]) * gate
    return model.linear(prefix + "attn_output", y.reshape(len(x), -1))


def state_space(model, prefix, x):
    inner, width = model.key("ssm.inner_size"), model.key("ssm.state_size")
    heads, groups = model.key("ssm.time_step_rank"), model.key("ssm.group_count")
    rows = model.linear(prefix + "ssm_in", x)
    gate, mixed, step = np.split(rows, [inner, rows.shape[-1] - heads], axis=-1)
    mixed = convolve(model.tensors[prefix + "ssm_conv1d.weight"], mixed)
    mixed = mixed + model.tensors[prefix + "ssm_conv1d.bias"]
    mixed = mixed * sigmoid(mixed)
    values, keys, queries = np.split(mixed, [inner, inner + groups * width], axis=-1)
    values = values.reshape(len(x), heads, -1)
    keys, queries = (p.reshape(len(x), groups, width) for p in (keys, queries))
    group_of = np.arange(heads) // (heads // groups)
    step = np.log1p(np.exp(step + model.tensors[prefix + "ssm_dt.bias"]))
    kept = np.exp(step * model.tensors[prefix + "ssm_a"].reshape(-1))
    skip = model.tensors[prefix + "ssm_d"].reshape(-1)[:, None]
    state, found = np.zeros((heads, values.shape[-1], width)), np.zeros_like(values)
    for t in range(len(x)):
        added = values[t][:, :, None] * step[t][:, None, None] * keys[t, group_of][:, None, :]
        state = state * kept[t][:, None, None] + added
        found[t] = np.einsum("hvk,hk->hv", state, queries[t, group_of]) + skip * values[t]
    y = found.reshape(len(x), inner) * gate * sigmoid(gate)
    norm = model.tensors[prefix + "ssm_norm.weight"].reshape(groups, -1)
    y = model.norm(y.reshape(len(x), groups, -1), norm).reshape(len(x), inner)
    return model.linear(prefix + "ssm_out", y)


def unit(x, epsilon):
    return x / np.sqrt(np.sum(x * x, axis=-1, keepdims=True) + epsilon)
