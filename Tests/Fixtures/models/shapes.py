"""What make_models.py writes: the shapes of this folder's tiny models, and their seeds."""

import gguf

import gemma4_models
import latent_models
import mixture_models
import recurrent_models

# A shape's defaults; MODELS overrides them. "experts" is (count, used, width, shared width);
# "keys" is what GGUFWriter's add_... writes besides.
DEFAULTS = dict(
    arch="llama",
    layers=2,
    width=64,
    heads=4,
    kv_heads=2,
    head_width=None,
    value_width=None,  # where it is another
    head_widths=None,  # of each layer, where they differ
    ffn=64,
    experts=None,
    shared_gate=True,
    lead=0,  # layers before the first with experts
    mixtures=(),  # layers with experts beside their dense network
    step=1,  # of the layers after those, one of so many has experts
    halves=None,  # of each layer "state", "attention" or "network", where that is all of it
    positions=0,  # rows of those that were learned, the first two of none
    drafts=0,  # further layers that only draft
    selection=None,  # "bias": of experts' probabilities where they are chosen
    fused=False,  # query, key and value as one tensor
    fused_experts=False,  # gates and ups as one tensor
    tied=False,
    biases=False,  # True: of query, key and value; "attention": of its output too; "all"
    rotated=None,
    norms=None,  # of queries and keys: "head" or "full"
    norm_gain=1.4,
    pre_norms=True,
    post_norms=False,
    gate=True,  # "fused": one tensor with what goes up
    type="F32",
    vocab="bpe",
    pre="qwen2",
    rope={},
    window=None,
    keys={},
    floats={},  # further keys
    bounds={},  # the same for each layer
    counts={},
    base=10000.0,
    attention=1.6,
    follow=14,
    attention_gate=None,  # rows of it: "head", "element", or "query": beside those of queries
    gain=1.4,  # of what goes up in a feed-forward network
    expert_type=None,  # block format of experts; else as all
    seed=1,
)

# Rounding activations to eight bits moves these logits by up to 1% of their range, so the
# successors stand out more.
QUANTIZED = dict(width=128, layers=1, ffn=96, follow=28, attention=1.2)
K_QUANTIZED = dict(width=256, layers=1, ffn=256, kv_heads=1, follow=28, attention=1.2)

# The logits are divided by the last.
GRANITE = dict(embedding_scale=3.0, residual_scale=0.6, attention_scale=0.4, logit_scale=2.5)

MODELS = {
    "llama": dict(ffn=72, pre="gpt-2", seed=3101),
    "llama-rope-factors": dict(
        layers=1, width=48, rope=dict(factors=True), base=500000.0, seed=2102
    ),
    "phi3": dict(
        arch="phi3", width=48, fused=True, gate="fused",
        rope=dict(by_length=True, original=64, attention=1.2), seed=495,
    ),
    "phi3-short": dict(
        arch="phi3", layers=1, width=48, fused=True, gate="fused",
        rope=dict(by_length=True, original=4096, attention=1.2), seed=538,
    ),
    "llama-rope-linear": dict(
        layers=1, width=48, tied=True, rope=dict(type="linear", factor=4.0), seed=5103
    ),
    "llama-rope-yarn": dict(
        layers=1,
        width=48,
        tied=True,
        rope=dict(type="yarn", factor=4.0, original=32, attention=0.9),
        seed=5104,
    ),
    "llama-spm": dict(layers=1, width=48, vocab="spm", seed=1106),
    "mixtral": dict(width=48, experts=(4, 2, 24, 0), seed=7107),
    "mistral": dict(width=48, head_width=16, ffn=48, seed=4108),
    "qwen2": dict(arch="qwen2", biases=True, tied=True, seed=5109),
    "qwen3": dict(arch="qwen3", head_width=24, norms="head", tied=True, ffn=48, seed=6110),
    "qwen2moe": dict(arch="qwen2moe", width=48, biases=True, experts=(4, 2, 24, 40), seed=5111),
    "qwen3moe": dict(
        arch="qwen3moe", head_width=24, norms="head", tied=True, experts=(6, 2, 24, 0), seed=10112
    ),
    "olmoe": dict(
        arch="olmoe", width=48, kv_heads=4, norms="full", experts=(5, 3, 24, 0), seed=4113
    ),
    "arcee": dict(arch="arcee", width=48, gate=False, ffn=80, seed=3114),
    "arcee-q8_0": dict(
        arch="arcee",
        type="Q8_0",
        gate=False,
        width=128,
        layers=1,
        ffn=160,
        follow=28,
        attention=1.2,
        seed=1037,
    ),
    "nemotron": dict(arch="nemotron", width=48, gate=False, ffn=80, rotated=6, seed=1135),
    "nemotron-q8_0": dict(
        arch="nemotron",
        type="Q8_0",
        gate=False,
        rotated=16,
        width=128,
        layers=1,
        ffn=160,
        follow=28,
        attention=1.2,
        seed=1383,
    ),
    "nemotron-biases": dict(
        arch="nemotron", width=48, gate=False, ffn=56, rotated=6, biases="all", seed=1367
    ),
    "opt": dict(
        arch="opt", width=48, gate=False, ffn=96, biases="all", positions=514,
        kv_heads=4, pre="gpt-2", seed=2481
    ),
    "opt-q8_0": dict(
        arch="opt", type="Q8_0", **{**QUANTIZED, "ffn": 128}, gate=False, biases="all",
        positions=514, kv_heads=4, pre="gpt-2", seed=2332
    ),
    "llama-biases": dict(width=48, biases="all", seed=1126),
    "granite": dict(arch="granite", keys=GRANITE, seed=3140),
    "granite-q8_0": dict(
        arch="granite", type="Q8_0", **QUANTIZED, keys=GRANITE, seed=3144
    ),
    "granitemoe": dict(
        arch="granitemoe",
        width=48,
        experts=(4, 2, 24, 40),
        shared_gate=False,
        keys=GRANITE,
        seed=8141,
    ),
    # The fourth layer's queries and keys are not rotated.
    "smollm3": dict(arch="smollm3", layers=4, width=48, ffn=48, tied=True, seed=13142),
    "olmo2": dict(
        arch="olmo2", norms="full", pre_norms=False, post_norms=True, ffn=72, seed=14143
    ),
    # Five layers see 8 positions, the sixth all of them, with another base and the linear factor.
    "gemma3": dict(
        arch="gemma3",
        layers=6,
        width=48,
        head_width=16,
        ffn=48,
        norms="head",
        post_norms=True,
        tied=True,
        vocab="spm",
        window=8,
        base=1000000.0,
        rope=dict(type="linear", factor=4.0),
        seed=9145,
    ),
    # Five layers, as llama.cpp rotates every layer of a model of four. Layers 0 and 4 have neither
    # rotation nor window; the others' is 4096 in llama.cpp whatever the key says.
    "smallthinker": dict(
        arch="smallthinker",
        layers=5,
        width=48,
        experts=(5, 2, 16, 0),
        window=4096,
        keys=dict(expert_gating_func=gguf.ExpertGatingFuncType.SIGMOID),
        seed=10146,
    ),
    "exaone4": dict(
        arch="exaone4", width=48, norms="head", pre_norms=False, post_norms=True, seed=308
    ),
    "seed_oss": dict(
        arch="seed_oss", width=48, head_width=16, ffn=56, biases=True, seed=310
    ),
    # Layer 0 sees 8 positions. Caps that scores and logits reach.
    "gemma2": dict(
        arch="gemma2",
        width=48,
        head_width=16,
        ffn=48,
        post_norms=True,
        tied=True,
        vocab="spm",
        window=8,
        keys=dict(attn_logit_softcapping=5.0, final_logit_softcapping=12.0),
        seed=1319,
    ),
    "hunyuan-dense": dict(arch="hunyuan-dense", width=48, norms="head", tied=True, seed=1315),
    # Queries grow every 16 positions.
    "mistral3": dict(
        arch="mistral3",
        width=48,
        head_width=16,
        ffn=48,
        rope=dict(type="yarn", factor=4.0, original=16, log_multiplier=0.8),
        floats={"attention.temperature_scale": 0.3},
        seed=1320,
    ),
    # Layer 0 sees 8 positions. Gates and ups beyond the bounds.
    "gpt-oss": dict(
        arch="gpt-oss",
        width=48,
        head_width=16,
        biases="attention",
        experts=(5, 2, 24, 0),
        window=8,
        rope=dict(type="yarn", factor=4.0, original=32),
        gain=5.0,
        seed=1335,
    ),
    "gpt-oss-mxfp4": dict(
        arch="gpt-oss",
        width=64,
        head_width=16,
        layers=2,
        biases="attention",
        experts=(4, 2, 32, 0),
        window=8,
        rope=dict(type="yarn", factor=4.0, original=32),
        gain=5.0,
        type="Q8_0",
        expert_type="MXFP4",
        follow=28,
        seed=2321,
    ),
    # Layers 0 to 2 see 8 positions, layer 3 does not rotate.
    "afmoe": dict(
        arch="afmoe",
        layers=4,
        width=48,
        head_width=16,
        ffn=40,
        norms="head",
        post_norms=True,
        lead=1,
        window=8,
        attention_gate="element",
        experts=(6, 2, 16, 16),
        shared_gate=False,
        selection="bias",
        keys=dict(expert_shared_count=1, expert_weights_norm=True, expert_weights_scale=1.5),
        seed=3462,
    ),
    # Layer 0 sees all positions with 4 heads, half rotated by YaRN.
    "laguna": dict(
        arch="laguna",
        layers=4,
        width=48,
        heads=[4, 6, 6, 6],
        head_width=16,
        ffn=40,
        rotated=8,
        norms="head",
        lead=1,
        window=8,
        attention_gate="head",
        experts=(6, 2, 16, 24),
        shared_gate=False,
        selection="bias",
        base=500000.0,
        rope=dict(type="yarn", factor=4.0, original=32),
        floats={"rope.freq_base_swa": 10000.0},
        counts={"rope.dimension_count_swa": 16},
        keys=dict(expert_weights_norm=True, expert_weights_scale=1.5),
        seed=3310,
    ),
    # Files cannot say that the gate's activation is the ReLU: to be imported with it, and judged
    # against exact_forward.py.
    "llama-relu": dict(ffn=90, seed=3118),
    "llama-relu-q8_0": dict(type="Q8_0", **QUANTIZED, seed=1127),
    # Metadata that llama.cpp does not read for these families: judged against exact_forward.py.
    "llama-rope-yarn-betas": dict(
        layers=1,
        tied=True,
        seed=5105,
        rope=dict(type="yarn", factor=8.0, original=64, beta_fast=16.0, beta_slow=2.0),
    ),
    "qwen3moe-sigmoid": dict(
        arch="qwen3moe",
        layers=1,
        width=48,
        head_width=16,
        norms="head",
        tied=True,
        experts=(4, 2, 24, 0),
        seed=17115,
        keys=dict(expert_gating_func=gguf.ExpertGatingFuncType.SIGMOID, expert_weights_scale=1.5),
    ),
    "olmoe-normalized": dict(
        arch="olmoe",
        layers=1,
        width=48,
        kv_heads=4,
        norms="full",
        experts=(5, 3, 16, 0),
        seed=13116,
        keys=dict(expert_weights_norm=True),
    ),
    "llama-f16": dict(type="F16", width=48, layers=1, seed=22201),
    "llama-bf16": dict(type="BF16", width=48, layers=1, follow=28, attention=1.2, seed=6202),
    "llama-q8_0": dict(type="Q8_0", **QUANTIZED, seed=203),
    "llama-q4_0": dict(type="Q4_0", **QUANTIZED, seed=2204),
    "llama-q4_1": dict(type="Q4_1", **QUANTIZED, seed=6205),
    "llama-q5_0": dict(type="Q5_0", **QUANTIZED, seed=3206),
    "llama-q5_1": dict(type="Q5_1", **QUANTIZED, seed=2207),
    "llama-q4_k": dict(type="Q4_K", **K_QUANTIZED, seed=19208),
    "llama-q5_k": dict(type="Q5_K", **K_QUANTIZED, seed=46209),
    "llama-q6_k": dict(type="Q6_K", **K_QUANTIZED, seed=17210),
    **mixture_models.MODELS,
    **recurrent_models.MODELS,
    **latent_models.MODELS,
    **gemma4_models.MODELS,
}
