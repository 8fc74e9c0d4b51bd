"""Shapes for make_models.py: experts that are chosen with a bias, some after dense layers."""

import types

import gguf


def routing_keys(gating):
    """Metadata of a mixture with a gating function that the gguf package has no name for."""
    return dict(
        expert_gating_func=types.SimpleNamespace(value=gating),
        expert_shared_count=1,
        expert_weights_scale=2.0,
    )


DOTS = dict(
    arch="dots1",
    width=48,
    kv_heads=4,
    ffn=40,
    norms="head",
    lead=1,
    shared_gate=False,
    selection="bias",
)

MODELS = {
    # llama.cpp wants as many key-value heads as heads here.
    "dots1": dict(
        **DOTS,
        layers=3,
        experts=(6, 2, 16, 32),
        keys=dict(
            expert_gating_func=gguf.ExpertGatingFuncType.SIGMOID,
            expert_shared_count=2,
            expert_weights_norm=True,
            expert_weights_scale=1.5,
        ),
        seed=400,
    ),
    "dots1-chosen": dict(
        **DOTS, layers=2, experts=(6, 3, 16, 16), keys=routing_keys(3), seed=410
    ),
    "dots1-softplus": dict(
        **DOTS, layers=2, experts=(6, 3, 16, 16), keys=routing_keys(4), seed=400
    ),
}
