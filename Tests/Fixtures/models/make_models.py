#!/usr/bin/env python3
"""Write this folder's tiny random models: one per family, routing, rotary variant, block format.

    pip install gguf numpy
    python3 Tests/Fixtures/models/make_models.py [OUT_DIRECTORY] [--only NAME]

Every number comes from a seed in MODELS, so the files are the same bytes each time (README.md says
with which versions). Weights have a trained model's scale: attention that looks somewhere,
feed-forward layers that matter, and logits several units apart. Each token also has a successor
that the output matrix favours, so that the greedy continuation has no near-ties.
"""

import argparse
import pathlib

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf.quants import quantize

import k_quants
import mixture_models
import vocabularies

# A shape's defaults; MODELS overrides them. "experts" is (count, used, width, shared width);
# "keys" is what GGUFWriter's add_... writes besides.
DEFAULTS = dict(
    arch="llama",
    layers=2,
    width=64,
    heads=4,
    kv_heads=2,
    head_width=None,
    ffn=64,
    experts=None,
    shared_gate=True,
    lead=0,  # layers before the first with experts
    step=1,  # of the layers after those, one of so many has experts
    drafts=0,  # further layers that only draft
    selection=None,  # "bias": of experts' probabilities where they are chosen
    fused=False,  # query, key and value as one tensor
    tied=False,
    biases=False,  # True: of query, key and value; "all"
    rotated=None,
    norms=None,  # of queries and keys: "head" or "full"
    pre_norms=True,
    post_norms=False,
    gate=True,
    type="F32",
    vocab="bpe",
    pre="qwen2",
    rope={},
    window=None,
    keys={},
    base=10000.0,
    attention=1.6,
    follow=14,
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
}

# families with a key for the width of an expert
OWN_EXPERT_WIDTH = {
    "qwen2moe", "qwen3moe", "smallthinker", "dots1", "bailingmoe2", "glm4moe", "ernie4_5-moe"
}

def write_hyperparameters(writer, model, head_width):
    writer.add_block_count(model["layers"] + model["drafts"])
    writer.add_context_length(512)
    writer.add_embedding_length(model["width"])
    leads = model["lead"] or not model["experts"]
    writer.add_feed_forward_length(model["ffn"] if leads else model["experts"][2])
    writer.add_head_count(model["heads"])
    writer.add_head_count_kv(model["kv_heads"])
    if head_width * model["heads"] != model["width"]:
        writer.add_key_length(head_width)
        writer.add_value_length(head_width)
    if model["arch"] == "nemotron":
        writer.add_layer_norm_eps(1e-5)
    else:
        writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(model["base"])
    writer.add_rope_dimension_count(model["rotated"] or head_width)
    if model["experts"]:
        count, used, width, shared = model["experts"]
        writer.add_expert_count(count)
        writer.add_expert_used_count(used)
        if model["arch"] in OWN_EXPERT_WIDTH:
            writer.add_expert_feed_forward_length(width)
        if shared and "expert_shared_count" not in model["keys"]:
            writer.add_expert_shared_feed_forward_length(shared)
    if model["lead"]:
        writer.add_leading_dense_block_count(model["lead"])
    if model["drafts"]:
        writer.add_nextn_predict_layers(model["drafts"])
    if model["window"]:
        writer.add_sliding_window(model["window"])
    rope = model["rope"]
    if "type" in rope:
        writer.add_rope_scaling_type(gguf.RopeScalingType(rope["type"]))
        writer.add_rope_scaling_factor(rope["factor"])
    if "original" in rope:
        writer.add_rope_scaling_orig_ctx_len(rope["original"])
    if "attention" in rope:
        writer.add_rope_scaling_attn_factors(rope["attention"])
    if "beta_fast" in rope:
        writer.add_rope_scaling_yarn_beta_fast(rope["beta_fast"])
        writer.add_rope_scaling_yarn_beta_slow(rope["beta_slow"])
    for key, value in model["keys"].items():
        getattr(writer, "add_" + key)(value)


class Tensors:
    """Draws tensors in a fixed order and adds them in the model's block format."""

    def __init__(self, writer, model):
        self.writer, self.type, self.random = (
            writer,
            Type[model["type"]],
            np.random.default_rng(model["seed"]),
        )
        self.layer_norms = model["arch"] == "nemotron"

    def normal(self, *shape):
        return self.random.standard_normal(shape, dtype=np.float32)

    def vector(self, name, values):
        self.writer.add_tensor(name, np.ascontiguousarray(values, np.float32))

    def norm(self, name, width, gain=1.0):
        self.vector(name + ".weight", gain * (1 + 0.1 * self.normal(width)))
        if self.layer_norms:
            self.bias(name, width, 0.2)

    def bias(self, name, width, gain=0.5):
        self.vector(name + ".bias", gain * self.normal(width))

    def matrix(self, name, gain, *shape):
        """(rows, columns) or (experts, rows, columns), scaled by the number of inputs."""
        self.add(name, self.normal(*shape) * np.float32(gain / np.sqrt(shape[-1])))

    def add(self, name, values, kind=None):
        kind = kind or self.type
        if kind == Type.F32:
            self.writer.add_tensor(name, values)
        elif kind == Type.F16:
            self.writer.add_tensor(name, values.astype(np.float16))
        else:
            encode = k_quants.ENCODERS.get(kind.name)
            data = encode(values) if encode else quantize(values, kind)
            self.writer.add_tensor(name, data, raw_dtype=kind)


def add_attention(tensors, model, prefix, head_width):
    width, heads, kv_heads = model["width"], model["heads"], model["kv_heads"]
    if model["pre_norms"]:
        tensors.norm(prefix + "attn_norm", width)
    parts = [
        ("attn_q.weight", model["attention"], heads * head_width),
        ("attn_k.weight", model["attention"], kv_heads * head_width),
        ("attn_v.weight", 1.0, kv_heads * head_width),
    ]
    if model["fused"]:
        rows = [tensors.normal(n, width) * np.float32(g / np.sqrt(width)) for _, g, n in parts]
        tensors.add(prefix + "attn_qkv.weight", np.concatenate(rows))
    else:
        for name, gain, count in parts:
            tensors.matrix(prefix + name, gain, count, width)
    tensors.matrix(prefix + "attn_output.weight", 1.0, width, heads * head_width)
    if model["biases"]:
        tensors.bias(prefix + "attn_q", heads * head_width)
        tensors.bias(prefix + "attn_k", kv_heads * head_width)
        tensors.bias(prefix + "attn_v", kv_heads * head_width)
    if model["biases"] == "all":
        tensors.bias(prefix + "attn_output", width)
    if model["norms"]:
        query, key = (
            (head_width, head_width)
            if model["norms"] == "head"
            else (heads * head_width, kv_heads * head_width)
        )
        tensors.norm(prefix + "attn_q_norm", query, 1.4)
        tensors.norm(prefix + "attn_k_norm", key, 1.4)
    if model["post_norms"]:
        tensors.norm(prefix + "post_attention_norm", width)


def add_feed_forward(tensors, model, layer):
    width, prefix = model["width"], f"blk.{layer}."
    if model["pre_norms"]:
        renamed = model["arch"] in ("seed_oss", "glm4moe")
        tensors.norm(prefix + ("post_attention_norm" if renamed else "ffn_norm"), width)
    if model["post_norms"]:
        tensors.norm(prefix + "post_ffw_norm", width)
    leads = layer < model["lead"] or (layer + 1) % model["step"] != 0
    if not model["experts"] or leads:
        if model["gate"]:
            tensors.matrix(prefix + "ffn_gate.weight", 1.4, model["ffn"], width)
        tensors.matrix(prefix + "ffn_up.weight", 1.4, model["ffn"], width)
        tensors.matrix(prefix + "ffn_down.weight", 1.0, width, model["ffn"])
        if model["biases"] == "all":
            if model["gate"]:
                tensors.bias(prefix + "ffn_gate", model["ffn"])
            tensors.bias(prefix + "ffn_up", model["ffn"])
            tensors.bias(prefix + "ffn_down", width)
        return
    count, _, expert_width, shared = model["experts"]
    tensors.add(
        prefix + "ffn_gate_inp.weight",
        tensors.normal(count, width) * np.float32(2 / np.sqrt(width)),
        Type.F32,
    )
    if model["selection"] == "bias":
        tensors.vector(prefix + "exp_probs_b.bias", 0.5 * tensors.normal(count))
    tensors.matrix(prefix + "ffn_gate_exps.weight", 1.4, count, expert_width, width)
    tensors.matrix(prefix + "ffn_up_exps.weight", 1.4, count, expert_width, width)
    tensors.matrix(prefix + "ffn_down_exps.weight", 1.5, count, width, expert_width)
    if shared:
        if model["shared_gate"]:
            gate = tensors.normal(width) / np.sqrt(width)
            tensors.vector(prefix + "ffn_gate_inp_shexp.weight", gate)
        tensors.matrix(prefix + "ffn_gate_shexp.weight", 1.4, shared, width)
        tensors.matrix(prefix + "ffn_up_shexp.weight", 1.4, shared, width)
        tensors.matrix(prefix + "ffn_down_shexp.weight", 1.0, width, shared)


def add_embeddings(tensors, model, vocabulary, printable):
    """Output rows favour one successor for each token. Tied rows cannot: they are short, so that a
    token does not simply predict itself, and the layers decide."""
    width = model["width"]
    # What the family multiplies embeddings by: without it the layers would hardly matter.
    own_scale = np.sqrt(width) if model["arch"] == "gemma3" else 1
    scale = np.float32(model["keys"].get("embedding_scale", own_scale))
    embeddings = tensors.normal(vocabulary, width)
    if model["tied"]:
        tensors.add("token_embd.weight", embeddings * np.float32(0.2) / scale)
        tensors.norm("output_norm", width, 2.0 * scale)
        return
    successors = tensors.random.permutation(printable)
    following = np.empty(vocabulary, int)
    following[successors] = np.roll(successors, -1)
    output = tensors.normal(vocabulary, width) * np.float32(2.5 / np.sqrt(width))
    for token in printable:
        output[following[token]] += embeddings[token] * np.float32(model["follow"] / width)
    tensors.add("token_embd.weight", embeddings / scale)
    tensors.add("output.weight", output)
    tensors.norm("output_norm", width)


def write_model(path, name, model):
    model = {**DEFAULTS, **model}
    writer = gguf.GGUFWriter(path, model["arch"])
    writer.add_name("tiny-" + name)
    head_width = model["head_width"] or model["width"] // model["heads"]
    write_hyperparameters(writer, model, head_width)
    count, printable = (
        vocabularies.spm(writer)
        if model["vocab"] == "spm"
        else vocabularies.bpe(writer, model["pre"])
    )
    writer.add_vocab_size(count)
    tensors = Tensors(writer, model)
    add_embeddings(tensors, model, count, printable)
    if model["rope"].get("factors"):
        tensors.vector("rope_freqs.weight", np.linspace(1, 8, head_width // 2))
    for layer in range(model["layers"] + model["drafts"]):
        prefix = f"blk.{layer}."
        add_attention(tensors, model, prefix, head_width)
        add_feed_forward(tensors, model, layer)
        if layer >= model["layers"]:
            tensors.matrix(prefix + "nextn.eh_proj.weight", 1.0, model["width"], 2 * model["width"])
            tensors.norm(prefix + "nextn.enorm", model["width"])
            tensors.norm(prefix + "nextn.hnorm", model["width"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", nargs="?", default=pathlib.Path(__file__).parent, type=pathlib.Path)
    parser.add_argument("--only")
    parser.add_argument(
        "--seed", type=int, help="instead of the model's own, to look for a better one"
    )
    arguments = parser.parse_args()
    for name, model in MODELS.items():
        if arguments.only in (None, name):
            if arguments.seed is not None:
                model = {**model, "seed": arguments.seed}
            write_model(arguments.out / f"{name}.gguf", name, model)


if __name__ == "__main__":
    main()
