"""Shapes for make_models.py: Gemma 4, whose layers differ, and its tensors."""

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

MODELS = {
    "gemma4": dict(**GEMMA, seed=1714),
}


def is_gemma4(model):
    return model["arch"] == "gemma4"


def write_pattern(writer, model):
    pattern = [width == min(model["head_widths"]) for width in model["head_widths"]]
    writer.add_sliding_window_pattern(pattern)


def add_rope_factors(tensors, model):
    pairs = model["head_width"] // 2
    factors = np.where(np.arange(pairs) < pairs // 4, 1, 1e30)
    tensors.vector("rope_freqs.weight", factors)
