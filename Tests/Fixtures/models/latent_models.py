"""Shapes for make_models.py: latent attention, whose values are keys too, and its tensors."""

import gguf
import numpy as np

# Parts of 16 that meet latents of 32, and parts of 8 that turn.
LATENT = dict(
    layers=3,
    width=48,
    ffn=40,
    kv_heads=1,
    head_width=40,
    value_width=32,
    rotated=8,
    lead=1,
    shared_gate=False,
    counts={
        "attention.kv_lora_rank": 32,
        "attention.key_length_mla": 24,
        "attention.value_length_mla": 16,
    },
)
SMALL = dict(
    width=16,
    heads=2,
    ffn=16,
    head_width=20,
    value_width=16,
    rotated=4,
    counts={
        "attention.kv_lora_rank": 16,
        "attention.key_length_mla": 12,
        "attention.value_length_mla": 16,
    },
)
COMPRESSED = {**LATENT["counts"], "attention.q_lora_rank": 24}
WIDE = {
    "attention.q_lora_rank": 64,
    "attention.kv_lora_rank": 64,
    "attention.key_length_mla": 40,
    "attention.value_length_mla": 32,
}

MODELS = {
    # llama.cpp reads queries that are not compressed only in models of 27 layers.
    "deepseek2-lite": dict(
        **{**LATENT, **SMALL, "layers": 27},
        arch="deepseek2",
        experts=(3, 2, 8, 8),
        keys=dict(expert_shared_count=1),
        seed=1511,
    ),
    "deepseek2": dict(
        **{**LATENT, "counts": COMPRESSED},
        arch="deepseek2",
        drafts=1,
        experts=(6, 2, 16, 16),
        selection="bias",
        rope=dict(type="yarn", factor=4.0, original=32, log_multiplier=0.0707),
        keys=dict(
            expert_gating_func=gguf.ExpertGatingFuncType.SIGMOID,
            expert_shared_count=1,
            expert_weights_norm=True,
            expert_weights_scale=1.8,
        ),
        seed=1533,
    ),
    "deepseek2-q8_0": dict(
        **{**LATENT, "layers": 2, "counts": WIDE, "width": 128, "ffn": 96, "head_width": 72},
        arch="deepseek2",
        type="Q8_0",
        follow=28,
        attention=1.2,
        experts=(4, 2, 32, 32),
        keys=dict(expert_shared_count=1),
        seed=1557,
    ),
}
MODELS["deepseek2-q8_0"]["value_width"] = 64
# The first three layers have Kimi's delta rule.
MODELS["bailingmoe3"] = dict(
    **{**LATENT, "layers": 4, "kv_heads": [0, 0, 0, 1], "heads": 2},
    arch="bailingmoe3",
    experts=(8, 2, 16, 16),
    selection="bias",
    floats={"kda.gate_lower_bound": -5.0},
    keys=dict(
        expert_gating_func=gguf.ExpertGatingFuncType.SIGMOID,
        expert_shared_count=1,
        expert_weights_norm=True,
        expert_weights_scale=1.5,
        expert_group_count=2,
        expert_group_used_count=1,
    ),
    seed=1839,
)
MODELS["bailingmoe3"]["counts"] = {
    **LATENT["counts"], "ssm.conv_kernel": 4, "kda.head_dim": 32
}
# Gates of experts, and of networks that all tokens use, are bounded in some layers.
MODELS["bailingmoe3-bounded"] = dict(
    **{**MODELS["bailingmoe3"], "seed": 1849},
    bounds={"swiglu_clamp_exp": [0.0, 0.5, 0.0, 0.3], "swiglu_clamp_shexp": [0.4, 0.0, 0.5, 0.4]},
)


def is_latent(model):
    return "attention.kv_lora_rank" in model["counts"]


def is_kimi_delta_rule(model, layer):
    return model["arch"] == "bailingmoe3" and model["kv_heads"][layer] == 0


def add_attention(tensors, model, layer):
    width, heads, counts, prefix = model["width"], model["heads"], model["counts"], f"blk.{layer}."
    rank, turned = counts["attention.kv_lora_rank"], model["rotated"]
    key, value = counts["attention.key_length_mla"], counts["attention.value_length_mla"]
    gain = model["attention"]
    tensors.norm(prefix + "attn_norm", width)
    query_rank = counts.get("attention.q_lora_rank")
    if query_rank:
        tensors.matrix(prefix + "attn_q_a.weight", 1.0, query_rank, width)
        tensors.norm(prefix + "attn_q_a_norm", query_rank)
        tensors.matrix(prefix + "attn_q_b.weight", gain, heads * key, query_rank)
    else:
        tensors.matrix(prefix + "attn_q.weight", gain, heads * key, width)
    tensors.matrix(prefix + "attn_kv_a_mqa.weight", gain, rank + turned, width)
    tensors.norm(prefix + "attn_kv_a_norm", rank)
    tensors.matrix(prefix + "attn_k_b.weight", 1.0, heads, rank, key - turned)
    tensors.matrix(prefix + "attn_v_b.weight", 1.4, heads, value, rank)
    tensors.matrix(prefix + "attn_output.weight", 1.0, width, heads * value)
    if model["arch"] == "bailingmoe3":
        tensors.matrix(prefix + "attn_gate.weight", 1.5, heads, width)


def add_kimi_delta_rule(tensors, model, layer):
    width, counts, prefix = model["width"], model["counts"], f"blk.{layer}."
    heads, head = model["heads"], counts["kda.head_dim"]
    inner = heads * head
    tensors.norm(prefix + "attn_norm", width)
    for part in "qkv":
        tensors.matrix(prefix + f"attn_{part}.weight", 1.4, inner, width)
        weights = 0.5 * tensors.normal(1, inner, 1, counts["ssm.conv_kernel"])
        tensors.vector(prefix + f"ssm_conv1d_{part}.weight", weights)
    tensors.matrix(prefix + "ssm_f_a.weight", 1.4, inner, width)
    tensors.matrix(prefix + "ssm_g_a.weight", 1.4, inner, width)
    tensors.matrix(prefix + "ssm_beta.weight", 1.4, heads, width)
    # Some heads forget soon, others late.
    tensors.vector(prefix + "ssm_a", np.exp(np.linspace(-1, 1, heads)).reshape(heads, 1))
    # Most of what a state knows stays.
    tensors.vector(prefix + "ssm_dt.bias", tensors.normal(inner) - 3)
    tensors.norm(prefix + "ssm_norm", head)
    tensors.matrix(prefix + "attn_output.weight", 1.4, width, inner)
