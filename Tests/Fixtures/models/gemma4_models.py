"""Shapes for make_models.py: Gemma 4, whose layers differ, and its tensors."""

import gguf
import numpy as np

# Layers in a window have four heads of keys, 16 wide; the others one, 32 wide, that is its values
# too, and of which the first quarter turns.
GEMMA = dict(
    arch="gemma4",
    layers=4,
    width=48,
    heads=4,
    kv_heads=[4, 1, 4, 1],
    head_width=32,
    head_widths=[16, 32, 16, 32],
    ffn=[48, 48, 64, 48],
    norms="head",
    post_norms=True,
    tied=True,
    vocab="spm",
    window=8,
    base=1000000.0,
    floats={"rope.freq_base_swa": 10000.0},
    counts={
        "attention.key_length_swa": 16,
        "attention.value_length_swa": 16,
        "rope.dimension_count_swa": 16,
        "attention.shared_kv_layers": 0,
        "embedding_length_per_layer_input": 0,
    },
    keys=dict(final_logit_softcapping=12.0),
)

# As the E models are: the last three layers read keys and values of earlier ones, and have wider
# networks; each layer gets a row for each token.
SHARED = {
    **GEMMA,
    "layers": 6,
    "kv_heads": [4, 4, 1, 4, 1, 4],
    "head_widths": [16, 16, 32, 16, 32, 16],
    "ffn": [48, 48, 48, 64, 64, 64],
    "counts": {
        **GEMMA["counts"],
        "attention.shared_kv_layers": 3,
        "embedding_length_per_layer_input": 16,
    },
}

MODELS = {
    "gemma4": dict(**GEMMA, seed=1714),
    "gemma4-shared": dict(**SHARED, seed=2043),
    "gemma4-shared-q8_0": dict(
        **{
            **GEMMA,
            "layers": 3,
            "width": 128,
            "kv_heads": [4, 1, 4],
            "head_widths": [16, 32, 16],
            "ffn": [64, 64, 96],
            "norm_gain": 0.6,
            "tied": False,
            "follow": 28,
            "keys": dict(final_logit_softcapping=40.0),
            "counts": {
                **GEMMA["counts"],
                "attention.shared_kv_layers": 1,
                "embedding_length_per_layer_input": 32,
            },
        },
        type="Q8_0",
        seed=1933,
    ),
    # The third layer is dense alone. Two heads of keys in a window, which are one part.
    "gemma4-moe": dict(
        **{**GEMMA, "kv_heads": [2, 1, 2, 1], "ffn": [40, 40, 40, 40]},
        experts=(6, 2, 16, 0),
        mixtures=[0, 1, 3],
        fused_experts=True,
        seed=1766,
    ),
}


def is_gemma4(model):
    return model["arch"] == "gemma4"


def shares_keys(model, layer):
    """Whether the layer reads keys and values of an earlier one."""
    shared = model["counts"].get("attention.shared_kv_layers", 0)
    return layer >= model["layers"] - shared


def write_pattern(writer, model):
    pattern = [width == min(model["head_widths"]) for width in model["head_widths"]]
    writer.add_sliding_window_pattern(pattern)


def add_feed_forward(tensors, model, layer):
    """What a layer has beside attention; experts beside its dense network."""
    width, prefix = model["width"], f"blk.{layer}."
    side = model["counts"]["embedding_length_per_layer_input"]
    if side:
        tensors.matrix(prefix + "inp_gate.weight", 1.4, side, width)
        tensors.matrix(prefix + "proj.weight", 1.0, width, side)
        tensors.norm(prefix + "post_norm", width)
    # Layers end with a factor of their own.
    tensors.vector(prefix + "layer_output_scale.weight", 1 + 0.3 * tensors.normal(1))
    if not model["experts"] or layer not in model["mixtures"]:
        return
    count, _, inner, _ = model["experts"]
    router = tensors.normal(count, width) * np.float32(2)
    tensors.add(prefix + "ffn_gate_inp.weight", router, gguf.GGMLQuantizationType.F32)
    tensors.vector(prefix + "ffn_gate_inp.scale", 1 + 0.3 * tensors.normal(width))
    for name in ("pre_ffw_norm_2", "post_ffw_norm_1", "post_ffw_norm_2"):
        tensors.norm(prefix + name, width)
    tensors.matrix(prefix + "ffn_gate_up_exps.weight", 1.4, count, 2 * inner, width)
    tensors.matrix(prefix + "ffn_down_exps.weight", 1.5, count, width, inner)
    tensors.vector(prefix + "ffn_down_exps.scale", 1 + 0.3 * tensors.normal(count))


def add_model_tensors(tensors, model, vocabulary):
    """Divisors of rotary frequencies; rows of each token and projections for each layer."""
    pairs = model["head_width"] // 2
    factors = np.where(np.arange(pairs) < pairs // 4, 1, 1e30)
    tensors.vector("rope_freqs.weight", factors)
    side = model["counts"]["embedding_length_per_layer_input"]
    if side:
        columns = side * model["layers"]
        rows = tensors.normal(vocabulary, columns) * np.float32(1 / np.sqrt(side))
        tensors.add("per_layer_token_embd.weight", rows)
        tensors.matrix("per_layer_model_proj.weight", 1.0, columns, model["width"])
        tensors.norm("per_layer_proj_norm", side)
