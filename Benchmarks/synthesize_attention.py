"""Shapes for synthesize.py whose attention or experts are special: latents, heads of two sizes and
experts beside dense networks, sinks and MXFP4."""

import numpy as np

SHAPES = {
    # GLM-4.7-Flash, 30B-A3B: 47 layers, the first dense.
    "deepseek2": dict(
        layers=5, width=2048, heads=20, kv_heads=1, head_width=576, value_width=512, rotated=64,
        ffn=10240, lead=1, experts=(64, 4, 1536), shared=1536,
        counts={
            "attention.q_lora_rank": 768, "attention.kv_lora_rank": 512,
            "attention.key_length_mla": 256, "attention.value_length_mla": 256,
            "expert_shared_count": 1, "expert_gating_func": 2,
        },
    ),
    # 26B-A4B: 30 layers, every sixth without a window.
    "gemma4": dict(
        layers=6, width=2816, heads=16, kv_heads=2, head_width=512, ffn=2112,
        experts=(128, 8, 704), window=(1024, 8, 256),
        counts={
            "attention.key_length_swa": 256, "attention.value_length_swa": 256,
            "rope.dimension_count_swa": 256, "attention.shared_kv_layers": 0,
            "embedding_length_per_layer_input": 0,
        },
    ),
    # All 35 layers, every fifth without a window; the last 20 read keys of earlier ones.
    "gemma4-e2b": dict(
        arch="gemma4", layers=35, width=1536, heads=8, kv_heads=1, head_width=512, ffn=6144,
        window=(512, 1, 256), period=5,
        counts={
            "attention.key_length_swa": 256, "attention.value_length_swa": 256,
            "rope.dimension_count_swa": 256, "attention.shared_kv_layers": 20,
            "embedding_length_per_layer_input": 256,
        },
    ),
    # 20B-A3.6B: 24 layers.
    "gpt-oss": dict(
        layers=4, width=2880, heads=64, kv_heads=8, head_width=64, experts=(32, 4, 2880),
        window=(128, 8, 64), counts={},
    ),
}


def add_keys(writer, architecture, shape):
    if "window" not in shape:
        return
    writer.add_sliding_window(shape["window"][0])
    if architecture == "gemma4":
        layers = range(shape["layers"])
        writer.add_sliding_window_pattern([has_window(architecture, n, shape) for n in layers])
        writer.add_float32("gemma4.rope.freq_base_swa", 10000.0)


def has_window(architecture, layer, shape):
    period = shape.get("period", 6)
    return {"gemma4": layer % period != period - 1, "gpt-oss": layer % 2 == 0}.get(
        architecture, False
    )


def shares_keys(layer, shape):
    """Whether the layer reads keys of an earlier one; then its network is twice as wide."""
    return layer >= shape["layers"] - shape["counts"].get("attention.shared_kv_layers", 0)


def ffn(shape):
    """Of each layer, where they differ."""
    if not shape["counts"].get("attention.shared_kv_layers"):
        return shape.get("ffn") or shape["experts"][2]
    layers = range(shape["layers"])
    return [shape["ffn"] * (2 if shares_keys(n, shape) else 1) for n in layers]


def add_layer_embeddings(s, vocabulary):
    own = s.shape["counts"].get("embedding_length_per_layer_input")
    if own:
        columns = own * s.shape["layers"]
        s.matrix("per_layer_token_embd.weight", vocabulary, columns)
        s.matrix("per_layer_model_proj.weight", columns, s.shape["width"])
        s.ones("per_layer_proj_norm.weight", own)


def kv_heads(architecture, shape):
    """Of each layer."""
    layers = range(shape["layers"])
    if architecture != "gemma4":
        return shape["kv_heads"]
    many = shape["window"][1]
    return [many if has_window(architecture, n, shape) else shape["kv_heads"] for n in layers]


def add_layer(s, layer):
    shape, block = s.shape, f"blk.{layer}."
    if layer == 0 and s.architecture == "gemma4":
        pairs = np.arange(shape["head_width"] // 2)
        s.floats("rope_freqs.weight", np.where(pairs < len(pairs) // 4, 1, 1e30))
    s.ones(block + "attn_norm.weight", shape["width"])
    {"deepseek2": add_latents, "gemma4": add_two_sizes, "gpt-oss": add_sinks}[s.architecture](
        s, block, layer
    )


def add_latents(s, block, layer):
    shape, counts = s.shape, s.shape["counts"]
    width, heads, rank = shape["width"], shape["heads"], counts["attention.kv_lora_rank"]
    key, value = counts["attention.key_length_mla"], counts["attention.value_length_mla"]
    query, turned = counts["attention.q_lora_rank"], shape["rotated"]
    s.matrix(block + "attn_q_a.weight", query, width)
    s.ones(block + "attn_q_a_norm.weight", query)
    s.matrix(block + "attn_q_b.weight", heads * key, query)
    s.matrix(block + "attn_kv_a_mqa.weight", rank + turned, width)
    s.ones(block + "attn_kv_a_norm.weight", rank)
    s.matrix(block + "attn_k_b.weight", heads, rank, key - turned)
    s.matrix(block + "attn_v_b.weight", heads, value, rank)
    s.matrix(block + "attn_output.weight", width, heads * value)
    s.ones(block + "ffn_norm.weight", width)
    s.add_feed_forward(block, layer)


def add_two_sizes(s, block, layer):
    shape, width = s.shape, s.shape["width"]
    is_window, shares = has_window("gemma4", layer, shape), shares_keys(layer, shape)
    _, many, narrow = shape["window"]
    kv, head = (many, narrow) if is_window else (shape["kv_heads"], shape["head_width"])
    s.matrix(block + "attn_q.weight", shape["heads"] * head, width)
    if not shares:
        s.matrix(block + "attn_k.weight", kv * head, width)
        if is_window or "experts" not in shape:
            s.matrix(block + "attn_v.weight", kv * head, width)
        s.floats(block + "attn_k_norm.weight", np.full(head, 0.25))
    s.matrix(block + "attn_output.weight", width, shape["heads"] * head)
    s.floats(block + "attn_q_norm.weight", np.full(head, 0.25))
    for name in ("post_attention_norm", "ffn_norm", "post_ffw_norm"):
        s.ones(block + name + ".weight", width)
    inner = shape["ffn"] * (2 if shares else 1)
    for name in ("gate", "up"):
        s.matrix(block + f"ffn_{name}.weight", inner, width)
    s.matrix(block + "ffn_down.weight", width, inner)
    own = shape["counts"]["embedding_length_per_layer_input"]
    if own:
        s.matrix(block + "inp_gate.weight", own, width)
        s.matrix(block + "proj.weight", width, own)
        s.ones(block + "post_norm.weight", width)
    if "experts" not in shape:
        return
    for name in ("pre_ffw_norm_2", "post_ffw_norm_1", "post_ffw_norm_2"):
        s.ones(block + name + ".weight", width)
    count, _, inner = shape["experts"]
    s.normal(block + "ffn_gate_inp.weight", 1, count, width)
    s.ones(block + "ffn_gate_inp.scale", width)
    s.matrix(block + "ffn_gate_up_exps.weight", count, 2 * inner, width)
    s.matrix(block + "ffn_down_exps.weight", count, width, inner)
    s.ones(block + "ffn_down_exps.scale", count)


def add_sinks(s, block, layer):
    shape, width = s.shape, s.shape["width"]
    queries, keys = (shape[n] * shape["head_width"] for n in ("heads", "kv_heads"))
    for name, rows, columns in (
        ("q", queries, width), ("k", keys, width), ("v", keys, width), ("output", width, queries)
    ):
        s.matrix(block + f"attn_{name}.weight", rows, columns)
        s.normal(block + f"attn_{name}.bias", 0.1, rows)
    s.normal(block + "attn_sinks.weight", 1, shape["heads"])
    s.ones(block + "post_attention_norm.weight", width)
    count, _, inner = shape["experts"]
    s.normal(block + "ffn_gate_inp.weight", 0.02, count, width)
    s.normal(block + "ffn_gate_inp.bias", 0.1, count)
    for name, rows, columns in (
        ("gate", inner, width), ("up", inner, width), ("down", width, inner)
    ):
        s.matrix(block + f"ffn_{name}_exps.weight", count, rows, columns, kind="MXFP4")
        s.normal(block + f"ffn_{name}_exps.bias", 0.1, count, rows)
