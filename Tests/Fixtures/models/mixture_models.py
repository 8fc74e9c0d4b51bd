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
ERNIE = dict(
    arch="ernie4_5-moe",
    width=48,
    ffn=40,
    tied=True,
    lead=1,
    experts=(6, 2, 16, 24),
    shared_gate=False,
    selection="bias",
)

MODELS = {
    "hunyuan-moe": dict(
        arch="hunyuan-moe", width=48, norms="head", experts=(5, 2, 32, 32), shared_gate=False,
        seed=588,
    ),
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
    # Two of four groups of three experts.
    "bailingmoe2": dict(
        arch="bailingmoe2",
        layers=3,
        width=48,
        ffn=40,
        rotated=6,
        norms="head",
        fused=True,
        lead=1,
        experts=(12, 3, 16, 48),
        shared_gate=False,
        selection="bias",
        keys=dict(
            expert_gating_func=gguf.ExpertGatingFuncType.SIGMOID,
            expert_shared_count=2,
            expert_shared_feed_forward_length=24,
            expert_group_count=4,
            expert_group_used_count=2,
            expert_weights_norm=True,
            expert_weights_scale=2.0,
        ),
        seed=421,
    ),
    "bailingmoe2-q8_0": dict(
        arch="bailingmoe2",
        type="Q8_0",
        layers=2,
        width=128,
        ffn=64,
        rotated=16,
        norms="head",
        fused=True,
        lead=1,
        experts=(8, 2, 32, 32),
        shared_gate=False,
        selection="bias",
        follow=28,
        attention=1.2,
        keys=dict(
            expert_gating_func=gguf.ExpertGatingFuncType.SIGMOID,
            expert_shared_count=1,
            expert_group_count=4,
            expert_group_used_count=2,
            expert_weights_norm=True,
        ),
        seed=502,
    ),
    # The fourth block only drafts.
    "glm4moe": dict(
        arch="glm4moe",
        layers=3,
        width=48,
        ffn=40,
        biases=True,
        rotated=6,
        norms="head",
        lead=1,
        drafts=1,
        experts=(5, 2, 16, 16),
        shared_gate=False,
        selection="bias",
        keys=dict(expert_shared_count=1, expert_weights_norm=True),
        seed=422,
    ),
    "ernie4_5-moe": dict(**ERNIE, layers=3, keys=dict(interleave_moe_layer_step=1), seed=411),
    # Layers 1 and 3 have experts; llama.cpp loads no such file.
    "ernie4_5-moe-step": dict(
        **ERNIE, layers=5, step=2, keys=dict(interleave_moe_layer_step=2), seed=446
    ),
    "minimax-m2": dict(
        arch="minimax-m2",
        width=48,
        rotated=6,
        norms="full",
        experts=(6, 2, 24, 0),
        selection="bias",
        keys=dict(
            expert_gating_func=gguf.ExpertGatingFuncType.SIGMOID, expert_feed_forward_length=24
        ),
        seed=423,
    ),
}
