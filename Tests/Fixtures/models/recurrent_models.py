"""Shapes for make_models.py: layers with a state in place of attention, and their tensors."""

import gguf
import numpy as np

LFM = dict(
    layers=4,
    width=48,
    ffn=40,
    kv_heads=[0, 2, 0, 2],
    norms="head",
    counts={"shortconv.l_cache": 3},
)
# Four heads of values, two of keys; attention in the fourth layer.
LINEAR = {
    "ssm.conv_kernel": 4,
    "ssm.state_size": 16,
    "ssm.group_count": 2,
    "ssm.time_step_rank": 4,
    "ssm.inner_size": 64,
}
LINEAR_WIDE = {
    **LINEAR, "ssm.state_size": 32, "ssm.inner_size": 128, "full_attention_interval": 2
}
QWEN = dict(
    layers=4,
    width=48,
    ffn=40,
    head_width=16,
    rotated=8,
    norms="head",
    attention_gate="query",
    counts=LINEAR,
)
# Two groups of three heads; attention in the third layer.
HYBRID = dict(
    arch="granitehybrid",
    layers=4,
    kv_heads=[0, 0, 2, 0],
    keys=dict(embedding_scale=3.0, residual_scale=0.6, attention_scale=0.4, logit_scale=2.5),
)
# Layers of one half: a state space of two groups, a network, attention.
NEMOTRON = dict(
    layers=5,
    width=48,
    heads=4,
    head_width=16,
    gate=False,
    kv_heads=[0, 0, 2, 0, 0],
    halves=["state", "network", "attention", "network", "state"],
    counts={
        "ssm.conv_kernel": 4,
        "ssm.state_size": 16,
        "ssm.group_count": 2,
        "ssm.time_step_rank": 4,
        "ssm.inner_size": 64,
    },
)
SECTIONS = dict(rope_dimension_sections=[2, 1, 1, 0])

MODELS = {
    "lfm2": dict(**LFM, arch="lfm2", seed=645),
    "lfm2moe": dict(
        **LFM,
        arch="lfm2moe",
        lead=1,
        experts=(6, 2, 16, 0),
        selection="bias",
        keys=dict(expert_gating_func=gguf.ExpertGatingFuncType.SIGMOID),
        seed=1043,
    ),
    "qwen35": dict(**QWEN, arch="qwen35", keys=SECTIONS, seed=724),
    "qwen35-q8_0": dict(
        **{**QWEN, "layers": 2, "width": 128, "ffn": 96, "counts": LINEAR_WIDE},
        arch="qwen35",
        type="Q8_0",
        follow=28,
        attention=1.2,
        keys=SECTIONS,
        seed=815,
    ),
    # The fifth block only drafts.
    "qwen35moe": dict(
        **QWEN,
        arch="qwen35moe",
        experts=(6, 2, 16, 24),
        fused_experts=True,
        drafts=1,
        keys=SECTIONS,
        seed=1150,
    ),
    "granitehybrid": dict(
        **HYBRID,
        width=48,
        experts=(4, 2, 24, 32),
        shared_gate=False,
        counts={
            "ssm.conv_kernel": 4,
            "ssm.state_size": 16,
            "ssm.group_count": 2,
            "ssm.time_step_rank": 6,
            "ssm.inner_size": 96,
        },
        seed=1222,
    ),
    "granitehybrid-q8_0": dict(
        **{**HYBRID, "layers": 2, "kv_heads": [0, 2]},
        width=64,
        type="Q8_0",
        follow=28,
        attention=1.2,
        counts={
            "ssm.conv_kernel": 4,
            "ssm.state_size": 32,
            "ssm.group_count": 1,
            "ssm.time_step_rank": 4,
            "ssm.inner_size": 128,
        },
        seed=670,
    ),
    "nemotron_h": dict(**NEMOTRON, arch="nemotron_h", ffn=80, seed=1633),
    "nemotron_h_moe": dict(
        **NEMOTRON,
        arch="nemotron_h_moe",
        experts=(6, 2, 32, 40),
        shared_gate=False,
        selection="bias",
        keys=dict(expert_weights_norm=True, expert_weights_scale=2.5),
        seed=1613,
    ),
    "nemotron_h_moe-q8_0": dict(
        **{
            **NEMOTRON,
            "layers": 3,
            "width": 64,
            "kv_heads": [0, 0, 2],
            "halves": ["state", "network", "attention"],
        },
        arch="nemotron_h_moe",
        type="Q8_0",
        follow=28,
        attention=1.2,
        experts=(4, 2, 32, 32),
        shared_gate=False,
        selection="bias",
        keys=dict(expert_weights_norm=True, expert_weights_scale=1.5),
        seed=1628,
    ),
    # Each head of keys serves two neighbours among those of values.
    "qwen3next": dict(
        **{**QWEN, "counts": {**LINEAR, "full_attention_interval": 2}},
        arch="qwen3next",
        experts=(6, 2, 16, 24),
        seed=940,
    ),
}


def is_recurrent(model, layer):
    if model["halves"]:
        return model["halves"][layer] == "state"
    if isinstance(model["kv_heads"], list):
        return model["kv_heads"][layer] == 0
    if "ssm.state_size" not in model["counts"]:
        return False
    return (layer + 1) % model["counts"].get("full_attention_interval", 4) != 0


def add_mixer(tensors, model, layer):
    width, prefix = model["width"], f"blk.{layer}."
    tensors.norm(prefix + "attn_norm", width)
    if model["arch"] in ("lfm2", "lfm2moe"):
        tensors.matrix(prefix + "shortconv.in_proj.weight", 1.4, 3 * width, width)
        length = model["counts"]["shortconv.l_cache"]
        tensors.vector(prefix + "shortconv.conv.weight", 0.7 * tensors.normal(width, length))
        tensors.matrix(prefix + "shortconv.out_proj.weight", 1.4, width, width)
        return
    counts = model["counts"]
    if model["arch"] in ("granitehybrid", "nemotron_h", "nemotron_h_moe"):
        add_state_space(tensors, model, prefix)
        return
    heads, key_heads = counts["ssm.time_step_rank"], counts["ssm.group_count"]
    values = counts["ssm.inner_size"]
    channels = values + 2 * key_heads * counts["ssm.state_size"]
    tensors.matrix(prefix + "attn_qkv.weight", 1.4, channels, width)
    tensors.matrix(prefix + "attn_gate.weight", 1.4, values, width)
    convolution = 0.5 * tensors.normal(channels, counts["ssm.conv_kernel"])
    tensors.vector(prefix + "ssm_conv1d.weight", convolution)
    if model["arch"] == "qwen3next":
        tensors.matrix(prefix + "ssm_ba.weight", 1.4, 2 * heads, width)
    else:
        tensors.matrix(prefix + "ssm_beta.weight", 1.4, heads, width)
        tensors.matrix(prefix + "ssm_alpha.weight", 1.4, heads, width)
    tensors.vector(prefix + "ssm_dt.bias", tensors.normal(heads))
    # Some heads forget soon, others late.
    tensors.vector(prefix + "ssm_a", -np.exp(np.linspace(-4, 0.5, heads)))
    tensors.norm(prefix + "ssm_norm", counts["ssm.state_size"])
    tensors.matrix(prefix + "ssm_out.weight", 1.4, width, values)


def add_state_space(tensors, model, prefix):
    width, counts = model["width"], model["counts"]
    heads, inner = counts["ssm.time_step_rank"], counts["ssm.inner_size"]
    groups = counts["ssm.group_count"]
    channels = inner + 2 * groups * counts["ssm.state_size"]
    tensors.matrix(prefix + "ssm_in.weight", 1.4, inner + channels + heads, width)
    convolution = 0.5 * tensors.normal(channels, counts["ssm.conv_kernel"])
    tensors.vector(prefix + "ssm_conv1d.weight", convolution)
    tensors.bias(prefix + "ssm_conv1d", channels)
    tensors.bias(prefix + "ssm_dt", heads, 1.0)
    # Some heads forget soon, others late.
    tensors.vector(prefix + "ssm_a", -np.exp(np.linspace(-4, 0.5, heads)).reshape(heads, 1))
    tensors.vector(prefix + "ssm_d", tensors.normal(heads, 1))
    tensors.vector(prefix + "ssm_norm.weight", 1 + 0.1 * tensors.normal(groups, inner // groups))
    tensors.matrix(prefix + "ssm_out.weight", 1.4, width, inner)
