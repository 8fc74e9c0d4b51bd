"""Gemma 4's E models for exact_forward.py: keys and values that later layers read too, and a row
for each layer and token beside the residual stream. From llama.cpp's graph."""

import numpy as np


def source(model, layer):
    """The layer whose keys and values a layer reads: its own, or of the last two that have some
    that of its kind (the last one sees all)."""
    first_shared = model.layers - model.key("attention.shared_kv_layers", 0)
    if layer < first_shared:
        return layer
    return first_shared - (2 if model.windowed(layer) else 1)


def begin(model, tokens, x):
    """What each layer gets of each token: (tokens, layers, width); x: scaled embeddings."""
    width = model.key("embedding_length_per_layer_input", 0)
    if not width:
        model.side_inputs = None
        return
    rows = model.tensors["per_layer_token_embd.weight"][tokens] * np.sqrt(width)
    projected = model.linear("per_layer_model_proj", x) / np.sqrt(model.width)
    shape = (len(tokens), model.layers, width)
    projected = model.row_norm("per_layer_proj_norm", projected.reshape(shape))
    model.side_inputs = (rows.reshape(shape) + projected) / np.sqrt(2)


def with_side_input(model, layer, x):
    if model.side_inputs is None:
        return x
    prefix = f"blk.{layer}."
    gate = model.activate(model.linear(prefix + "inp_gate", x))
    y = model.linear(prefix + "proj", gate * model.side_inputs[:, layer])
    return x + model.row_norm(prefix + "post_norm", y)
