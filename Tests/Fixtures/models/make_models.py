#!/usr/bin/env python3
"""Write this folder's tiny random models: one per family, routing, rotary variant, block format.

    pip install gguf numpy
    python3 Tests/Fixtures/models/make_models.py [OUT_DIRECTORY] [--only NAME]

Every number comes from a seed in shapes.py or mixture_models.py, so the files are the same bytes
each time (README.md says with which versions). Weights have a trained model's scale: attention that
looks somewhere, feed-forward layers that matter, and logits several units apart. Each token also
has a successor that the output matrix favours, so that the greedy continuation has no near-ties.
"""

import argparse
import pathlib

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf.quants import quantize

import gemma4_models
import k_quants
import latent_models
import recurrent_models
import vocabularies
from shapes import DEFAULTS, MODELS

# families with a key for the width of an expert
OWN_EXPERT_WIDTH = {
    "qwen2moe", "qwen3moe", "smallthinker", "dots1", "bailingmoe2", "glm4moe", "ernie4_5-moe",
    "gpt-oss", "afmoe", "laguna", "lfm2moe", "qwen35moe", "qwen3next", "hunyuan-moe",
    "deepseek2", "nemotron_h_moe", "gemma4", "bailingmoe3"
}


def write_hyperparameters(writer, model, head_width):
    writer.add_block_count(model["layers"] + model["drafts"])
    writer.add_context_length(512)
    writer.add_embedding_length(model["width"])
    leads = model["lead"] or not model["experts"] or model["mixtures"]
    width = model["ffn"] if leads else model["experts"][2]
    if model["halves"]:
        width = [width if half == "network" else 0 for half in model["halves"]]
    writer.add_feed_forward_length(width)
    writer.add_head_count(model["heads"])
    writer.add_head_count_kv(model["kv_heads"])
    if model["head_width"]:
        writer.add_key_length(head_width)
        writer.add_value_length(model["value_width"] or head_width)
    if model["arch"] in ("nemotron", "nemotron_h", "nemotron_h_moe", "opt"):
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
    if gemma4_models.is_gemma4(model):
        gemma4_models.write_pattern(writer, model)
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
    if "log_multiplier" in rope:
        writer.add_rope_scaling_yarn_log_mul(rope["log_multiplier"])
    for key, value in model["floats"].items():
        writer.add_float32(f"{model['arch']}.{key}", value)
    for key, values in model["bounds"].items():
        writer.add_array(f"{model['arch']}.{key}", values)
    for key, value in model["counts"].items():
        writer.add_uint32(f"{model['arch']}.{key}", value)
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
        self.layer_norms = model["arch"] in ("nemotron", "opt")

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

    def matrix(self, name, gain, *shape, kind=None):
        """(rows, columns) or (experts, rows, columns), scaled by the number of inputs."""
        self.add(name, self.normal(*shape) * np.float32(gain / np.sqrt(shape[-1])), kind)

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


def add_attention(tensors, model, layer, head_width):
    width, heads, kv_heads = model["width"], model["heads"], model["kv_heads"]
    prefix = f"blk.{layer}."
    if isinstance(heads, list):
        heads = heads[layer]
    if model["pre_norms"]:
        tensors.norm(prefix + "attn_norm", width)
    if isinstance(kv_heads, list):
        kv_heads = kv_heads[layer]
    if model["head_widths"]:
        head_width = model["head_widths"][layer]
    own_gates = 2 if model["attention_gate"] == "query" else 1  # of each head, after its query
    parts = [
        ("attn_q.weight", model["attention"], own_gates * heads * head_width),
        ("attn_k.weight", model["attention"], kv_heads * head_width),
        ("attn_v.weight", 1.0, kv_heads * head_width),
    ]
    if gemma4_models.is_gemma4(model) and kv_heads == 1:
        parts.pop()  # values are keys
    shares = gemma4_models.shares_keys(model, layer)
    if shares:
        del parts[1:]
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
    if model["biases"] in ("all", "attention"):
        tensors.bias(prefix + "attn_output", width)
    if model["attention_gate"] in ("element", "head"):
        rows = heads * (head_width if model["attention_gate"] == "element" else 1)
        tensors.matrix(prefix + "attn_gate.weight", 1.5, rows, width)
    if model["arch"] == "gpt-oss":
        tensors.vector(prefix + "attn_sinks.weight", tensors.normal(heads))
    if model["norms"]:
        query, key = (
            (head_width, head_width)
            if model["norms"] == "head"
            else (heads * head_width, kv_heads * head_width)
        )
        tensors.norm(prefix + "attn_q_norm", query, model["norm_gain"])
        if not shares:
            tensors.norm(prefix + "attn_k_norm", key, model["norm_gain"])
    if model["post_norms"]:
        tensors.norm(prefix + "post_attention_norm", width)


def add_feed_forward(tensors, model, layer):
    width, prefix = model["width"], f"blk.{layer}."
    if isinstance(model["ffn"], list):
        model = {**model, "ffn": model["ffn"][layer]}
    if model["pre_norms"] and not model["halves"]:
        renamed = model["arch"] in (
            "seed_oss", "glm4moe", "gpt-oss", "qwen35", "qwen35moe", "qwen3next"
        )
        tensors.norm(prefix + ("post_attention_norm" if renamed else "ffn_norm"), width)
    if model["post_norms"]:
        tensors.norm(prefix + "post_ffw_norm", width)
    if gemma4_models.is_gemma4(model):
        gemma4_models.add_feed_forward(tensors, model, layer)
        model = {**model, "experts": None}
    leads = layer < model["lead"] or (layer + 1) % model["step"] != 0
    if not model["experts"] or leads:
        if model["gate"] == "fused":
            tensors.matrix(prefix + "ffn_up.weight", 1.4, 2 * model["ffn"], width)
        elif model["gate"]:
            tensors.matrix(prefix + "ffn_gate.weight", 1.4, model["ffn"], width)
        if model["gate"] != "fused":
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
    kind, gain = model["expert_type"] and Type[model["expert_type"]], model["gain"]
    down = 1.5 * 1.4 / gain
    if model["fused_experts"]:
        name = prefix + "ffn_gate_up_exps.weight"
        tensors.matrix(name, gain, count, 2 * expert_width, width, kind=kind)
    else:
        for part in ("gate", "up") if model["gate"] else ("up",):
            name = prefix + f"ffn_{part}_exps.weight"
            tensors.matrix(name, gain, count, expert_width, width, kind=kind)
    tensors.matrix(prefix + "ffn_down_exps.weight", down, count, width, expert_width, kind=kind)
    if model["arch"] == "gpt-oss":
        tensors.bias(prefix + "ffn_gate_inp", count)
        for part, rows in (("gate", expert_width), ("up", expert_width), ("down", width)):
            tensors.vector(prefix + f"ffn_{part}_exps.bias", 0.5 * tensors.normal(count, rows))
    if shared:
        if model["shared_gate"]:
            gate = tensors.normal(width) / np.sqrt(width)
            tensors.vector(prefix + "ffn_gate_inp_shexp.weight", gate)
        if model["gate"]:
            tensors.matrix(prefix + "ffn_gate_shexp.weight", 1.4, shared, width)
        tensors.matrix(prefix + "ffn_up_shexp.weight", 1.4, shared, width)
        tensors.matrix(prefix + "ffn_down_shexp.weight", 1.0, width, shared)


def add_embeddings(tensors, model, vocabulary, printable):
    """Output rows favour one successor for each token. Tied rows cannot: they are short, so that a
    token does not simply predict itself, and the layers decide."""
    width = model["width"]
    # What the family multiplies embeddings by: without it the layers would hardly matter.
    own_scale = np.sqrt(width) if model["arch"] in ("gemma2", "gemma3", "gemma4", "afmoe") else 1
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
    own_name = model["arch"] in ("lfm2", "lfm2moe")
    tensors.norm("token_embd_norm" if own_name else "output_norm", width)


def write_model(path, name, model):
    model = {**DEFAULTS, **model}
    writer = gguf.GGUFWriter(path, model["arch"])
    # llama.cpp wants certain tokens in the vocabulary of a model that is called phi3.
    writer.add_name("tiny-" + name.replace("phi3", "phi-three"))
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
    if model["positions"]:
        rows = 0.5 * tensors.normal(model["positions"], model["width"])
        tensors.add("position_embd.weight", rows.astype(np.float32))
    if model["rope"].get("factors"):
        tensors.vector("rope_freqs.weight", np.linspace(1, 8, head_width // 2))
    if gemma4_models.is_gemma4(model):
        gemma4_models.add_model_tensors(tensors, model, count)
    if model["rope"].get("by_length"):
        tensors.vector("rope_factors_long.weight", np.linspace(2, 9, head_width // 2))
        tensors.vector("rope_factors_short.weight", np.linspace(1, 3, head_width // 2))
    for layer in range(model["layers"] + model["drafts"]):
        prefix = f"blk.{layer}."
        if model["halves"] and model["halves"][layer] == "network":
            tensors.norm(prefix + "attn_norm", model["width"])
        elif layer < model["layers"] and latent_models.is_kimi_delta_rule(model, layer):
            latent_models.add_kimi_delta_rule(tensors, model, layer)
        elif layer < model["layers"] and recurrent_models.is_recurrent(model, layer):
            recurrent_models.add_mixer(tensors, model, layer)
        elif latent_models.is_latent(model):
            latent_models.add_attention(tensors, model, layer)
        else:
            add_attention(tensors, model, layer, head_width)
        if not model["halves"] or model["halves"][layer] == "network":
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
