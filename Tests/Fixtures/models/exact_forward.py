#!/usr/bin/env python3
"""Run a GGUF model in float64 numpy, from the published definitions: what rounding moves away from.

    pip install gguf numpy
    python3 Tests/Fixtures/models/exact_forward.py MODEL.gguf --tokens 1,2,3 [--generate 16]

JSON as reference.py writes it, and "margins": the smallest gap between the two likeliest tokens at
any step ("greedy"), as a fraction of the logit range, the smallest between a used and an unused
expert's router logit, or of what else they are chosen by ("router"), and how often a bias or groups
changed which experts are chosen ("rerouted"). Weights of any block format are decoded exactly;
activations, attention and sums are float64. Slow on purpose; tiny models.
Sources: Llama (arXiv 2302.13971), RoPE (2104.09864), YaRN (2309.00071), Mixtral (2401.04088),
OLMoE (2409.02060), Nemotron-4 (2402.16819), OPT (2205.01068), Qwen2 (2407.10671), OLMo 2
(2501.00656), Gemma 3 (2503.19786) and 2 (2408.00118), SmallThinker (2507.20984), EXAONE 4
(2507.11407), gpt-oss (2508.10925), DeepSeek-V3's routing (2412.19437), llama.cpp's graph for
Granite, SmolLM3, Seed-OSS, Hunyuan, Phi 3, Ministral 3, dots.llm1, Ling 2, GLM 4.5, ERNIE 4.5,
MiniMax M2, Trinity and Laguna,
and the GGUF specification for the names. Layers with a state are in exact_recurrent.py,
latent attention in exact_latent.py, what layers share and get in exact_gemma4.py.
"""

import argparse
import json

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize

import exact_gemma4
import exact_latent
import exact_recurrent

# RoPE turns elements 2i and 2i+1; the others i and i + half
INTERLEAVED = {
    "llama", "arcee", "granite", "granitemoe", "granitehybrid", "smollm3", "mistral3",
    "ernie4_5-moe", "deepseek2", "bailingmoe3"
}
# families whose used experts' weights are scaled to sum to 1
RENORMALIZED = {
    "llama", "qwen3moe", "granitemoe", "smallthinker", "ernie4_5-moe", "minimax-m2", "lfm2moe",
    "qwen35moe", "qwen3next", "hunyuan-moe", "granitehybrid", "gemma4"
}
WHOLE_NORMS = {"olmoe", "olmo2", "minimax-m2"}  # a query's and key's norm is over all heads at once
ACTIVATIONS = {  # of the gate; else SiLU
    "gemma2": "gelu",
    "gemma3": "gelu",
    "gemma4": "gelu",
    "smallthinker": "relu",
    "gpt-oss": "bounded",
}
NORMS_FEED_FORWARD = {
    "seed_oss", "gpt-oss", "glm4moe", "qwen35", "qwen35moe", "qwen3next"
}  # with post_attention_norm, by its name
SCALES_EMBEDDINGS = {"gemma2", "gemma3", "gemma4", "afmoe"}  # by the root of the width
# no key: else 1
GATING = {"nemotron_h_moe": 2, "glm4moe": 2, "afmoe": 2, "laguna": 2, "gpt-oss": 3}


class Model:
    def __init__(self, path, activation=None):
        reader = GGUFReader(path)
        self.metadata = {name: field.contents() for name, field in reader.fields.items()}
        self.arch = self.metadata["general.architecture"]
        self.activation = activation or ACTIVATIONS.get(self.arch, "silu")
        self.tensors = {
            t.name: dequantize(t.data, t.tensor_type)
            .astype(np.float64)
            .reshape([int(n) for n in reversed(t.shape)])
            for t in reader.tensors
        }
        self.layers, heads = self.key("block_count"), self.key("attention.head_count")
        self.heads = heads if isinstance(heads, list) else [heads] * self.layers  # of each layer
        kv_heads = self.key("attention.head_count_kv", self.heads[0])
        many = isinstance(kv_heads, list)
        self.kv_heads = kv_heads if many else [kv_heads] * self.layers  # of each layer
        self.width = self.key("embedding_length")
        self.head_width = self.key("attention.key_length", self.width // self.heads[0])
        self.epsilon = self.key(
            "attention.layer_norm_rms_epsilon", self.key("attention.layer_norm_epsilon")
        )
        own_scale = 1 if self.arch == "gemma4" else 1 / np.sqrt(self.head_width)
        self.score_scale = self.key("attention.scale", own_scale)
        own_scale = np.sqrt(self.width) if self.arch in SCALES_EMBEDDINGS else 1.0
        self.embedding_scale = self.key("embedding_scale", own_scale)
        self.residual_scale = self.key("residual_scale", 1.0)
        self.router_margin = np.inf
        self.chosen = self.rerouted = 0
        self.layers -= self.key("nextn_predict_layers", 0)
        self.side_inputs = None
        self.kept = {}  # keys and values of layers, where later ones read them

    def key(self, name, default=None):
        return self.metadata.get(f"{self.arch}.{name}", default)

    def norm(self, x, weight):
        return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + self.epsilon) * weight

    def row_norm(self, name, x):
        """An RMS norm, or with a bias a layer norm; x where the model has no such norm."""
        if name + ".weight" not in self.tensors:
            return x
        if name + ".bias" not in self.tensors:
            return self.norm(x, self.tensors[name + ".weight"])
        centred = x - np.mean(x, axis=-1, keepdims=True)
        return self.norm(centred, self.tensors[name + ".weight"]) + self.tensors[name + ".bias"]

    def linear(self, name, x):
        y = x @ self.tensors[name + ".weight"].T
        return y + self.tensors[name + ".bias"] if name + ".bias" in self.tensors else y

    def windowed(self, layer):
        """Whether the layer sees only the newest attention.sliding_window positions."""
        if not self.key("attention.sliding_window"):
            return False
        if self.arch == "gemma4":
            return self.key("attention.sliding_window_pattern")[layer]
        return {
            "afmoe": layer % 4 != 3,
            "gemma2": layer % 2 == 0,
            "gemma3": layer % 6 != 5,
            "gpt-oss": layer % 2 == 0,
            "laguna": layer % 4 != 0,
            "smallthinker": layer % 4 != 0,
        }.get(self.arch, False)

    def frequencies(self, layer):
        """Angles per position for each rotated pair, and the factor on what is rotated (YaRN's)."""
        local = self.arch in ("gemma3", "gemma4", "laguna") and self.windowed(layer)
        width = self.key("rope.dimension_count", self.head_width)
        width = self.key("rope.dimension_count_swa", width) if local else width
        base = self.key("rope.freq_base_swa" if local else "rope.freq_base", 10000.0)
        pairs = np.arange(width // 2)
        angles = base ** (-2.0 * pairs / width)
        if "rope_freqs.weight" in self.tensors and not (local and self.arch == "gemma4"):
            angles = angles / self.tensors["rope_freqs.weight"]
        if "rope_factors_long.weight" in self.tensors:
            short = self.key("rope.scaling.original_context_length")
            length = "long" if self.key("context_length") > short else "short"
            angles = angles / self.tensors[f"rope_factors_{length}.weight"]
        if local:
            return angles, 1.0
        kind, factor = self.key("rope.scaling.type", "none"), self.key("rope.scaling.factor", 1.0)
        if kind == "linear":
            return angles / factor, 1.0
        if kind != "yarn":
            return angles, self.key("rope.scaling.attn_factor", 1.0)
        original = self.key("rope.scaling.original_context_length", self.key("context_length"))
        fast, slow = self.key("rope.scaling.yarn_beta_fast", 32.0), self.key(
            "rope.scaling.yarn_beta_slow", 1.0
        )
        pair = lambda turns: width * np.log(original / (turns * 2 * np.pi)) / (2 * np.log(base))
        low, high = max(0, np.floor(pair(fast))), min(width - 1, np.ceil(pair(slow)))
        extrapolated = 1 - np.clip((pairs - low) / max(0.001, high - low), 0, 1)
        attention = self.key("rope.scaling.attn_factor", 1.0) * (1 + 0.1 * np.log(factor))
        multiplier = self.key("rope.scaling.yarn_log_multiplier", 0.0)
        if self.arch == "deepseek2":  # YaRN's mscale and mscale_all_dim are one number there
            multiplier = 1.0 if multiplier else 0.0
        attention /= 1 + 0.1 * multiplier * np.log(factor)
        return angles / factor * (1 - extrapolated) + angles * extrapolated, attention

    def rotate(self, layer, x, positions):
        """x: (tokens, heads, head width)"""
        angles, factor = self.frequencies(layer)
        phase = positions[:, None, None] * angles
        cos, sin = np.cos(phase) * factor, np.sin(phase) * factor
        y, half = x.copy(), len(angles)
        if self.arch in INTERLEAVED:
            a, b = x[..., 0 : 2 * half : 2], x[..., 1 : 2 * half : 2]
            y[..., 0 : 2 * half : 2], y[..., 1 : 2 * half : 2] = (
                a * cos - b * sin,
                a * sin + b * cos,
            )
        else:
            a, b = x[..., :half], x[..., half : 2 * half]
            y[..., :half], y[..., half : 2 * half] = a * cos - b * sin, a * sin + b * cos
        return y

    def rotates(self, layer):
        """Whether positions turn the layer's queries and keys."""
        if self.arch == "smallthinker":
            return self.windowed(layer) or not self.key("attention.sliding_window")
        if self.arch in ("nemotron_h", "nemotron_h_moe", "opt"):
            return False
        return self.arch not in ("smollm3", "afmoe") or (layer + 1) % 4 != 0

    def attention(self, layer, x, positions):
        prefix, count = f"blk.{layer}.", len(x)
        q, k, v = self.projected(prefix, x, layer)
        gate = None
        if q.shape[-1] == 2 * self.heads[layer] * self.head_width:  # of each head, then its gate
            q, gate = np.split(q.reshape(count, self.heads[layer], -1), 2, axis=-1)
        norms = [self.tensors.get(f"{prefix}attn_{part}_norm.weight") for part in "qk"]
        source = exact_gemma4.source(self, layer)
        if source != layer:  # of whose keys and values these are
            norms[1] = 1
        if norms[0] is not None and self.arch in WHOLE_NORMS:
            q, k = self.norm(q, norms[0]), self.norm(k, norms[1])
        heads = self.heads[layer]
        q, kv_heads = q.reshape(count, heads, -1), self.kv_heads[layer]
        k, v = k.reshape(count, kv_heads, -1), v.reshape(count, kv_heads, -1)
        if self.arch == "gemma4":
            v = self.norm(v, 1)
        turned_first = self.arch in ("hunyuan-dense", "hunyuan-moe")
        if norms[0] is not None and self.arch not in WHOLE_NORMS and not turned_first:
            q, k = self.norm(q, norms[0]), self.norm(k, norms[1])
        if self.rotates(layer):
            q, k = self.rotate(layer, q, positions), self.rotate(layer, k, positions)
        if turned_first:
            q, k = self.norm(q, norms[0]), self.norm(k, norms[1])
        temperature = self.key("attention.temperature_scale", 0.0)
        if temperature:
            interval = self.key("rope.scaling.original_context_length")
            q = q * (1 + temperature * np.log(1 + positions // interval))[:, None, None]
        if source == layer:
            self.kept[layer] = k, v
        k, v = self.kept[source]
        group = heads // kv_heads
        k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
        scores = np.einsum("qhd,khd->hqk", q, k) * self.score_scale
        cap = self.key("attn_logit_softcapping")
        if cap:
            scores = cap * np.tanh(scores / cap)
        age = positions[:, None] - positions
        seen = age >= 0
        if self.windowed(layer):
            seen &= age < self.key("attention.sliding_window")
        scores = np.where(seen, scores, -np.inf)
        sinks = self.tensors.get(prefix + "attn_sinks.weight", np.full(heads, -np.inf))
        largest = np.maximum(scores.max(axis=-1, keepdims=True), sinks[:, None, None])
        weights = np.exp(scores - largest)
        weights /= weights.sum(axis=-1, keepdims=True) + np.exp(sinks[:, None, None] - largest)
        y = np.einsum("hqk,khd->qhd", weights, v)
        if gate is not None:
            y = y * exact_recurrent.sigmoid(gate)
        return self.linear(prefix + "attn_output", self.gated(prefix, x, y).reshape(count, -1))

    def gated(self, prefix, x, y):
        """What attention gives, (tokens, heads, width), times a gate for each head or element."""
        if prefix + "attn_gate.weight" not in self.tensors:
            return y
        gate = self.linear(prefix + "attn_gate", x).reshape(*y.shape[:2], -1)
        return y * (1 / (1 + np.exp(-gate)) if self.arch == "afmoe" else np.log1p(np.exp(gate)))

    def projected(self, prefix, x, layer):
        """Queries, keys and values of all heads; some files have their rows in one tensor."""
        if prefix + "attn_qkv.weight" not in self.tensors:
            has_values = prefix + "attn_v.weight" in self.tensors
            parts = ("attn_q", "attn_k", "attn_v" if has_values else "attn_k")
            if prefix + "attn_k.weight" not in self.tensors:
                q = self.linear(prefix + "attn_q", x)
                none = np.zeros_like(q[:, :: self.heads[layer] // self.kv_heads[layer]])
                return [q, none, none]
            return [self.linear(prefix + part, x) for part in parts]
        rows = self.linear(prefix + "attn_qkv", x)
        heads, kv_heads = self.heads[layer], self.kv_heads[layer]
        first, second = (n * self.head_width for n in (heads, heads + kv_heads))
        return np.split(rows, [first, second], axis=-1)

    def activate(self, x):
        if self.activation == "relu":
            return np.maximum(x, 0)
        if self.activation == "gelu":
            return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
        return x / (1 + np.exp(-x))

    def feed_forward(self, x, gate, up, down, gate_bias=0, up_bias=0, down_bias=0, bound=0):
        up_values = x @ up.T + up_bias
        if gate is None:
            power = 1 if self.arch == "opt" else 2
            return np.maximum(up_values, 0) ** power @ down.T + down_bias
        gate_values = x @ gate.T + gate_bias
        if self.activation == "bounded":
            g, u = np.minimum(gate_values, 7), np.clip(up_values, -7, 7)
            return (g / (1 + np.exp(-1.702 * g)) * (u + 1)) @ down.T + down_bias
        gates = self.activate(gate_values)
        if bound:
            gates, up_values = np.minimum(gates, bound), np.clip(up_values, -bound, bound)
        return (gates * up_values) @ down.T + down_bias

    def bound(self, name, prefix):
        """Of gates in a layer; 0 is none."""
        values = self.key("swiglu_clamp_" + name)
        return values[int(prefix.split(".")[1])] if values else 0

    def dense(self, prefix, suffix, x):
        names = [f"{prefix}ffn_{part}{suffix}" for part in ("gate", "up", "down")]
        weights = [self.tensors.get(name + ".weight") for name in names]
        if self.arch == "phi3":  # gate and up are one tensor
            weights[:2] = np.split(weights[1], 2)
        return self.feed_forward(
            x,
            *weights,
            *(self.tensors.get(name + ".bias", 0) for name in names),
            bound=self.bound("shexp", prefix),
        )

    def experts(self, prefix, x, routed_by):
        """routed_by: what the router reads, as a rule x."""
        logits = self.linear(prefix + "ffn_gate_inp", routed_by)
        used = self.key("expert_used_count")
        gating = self.key("expert_gating_func", GATING.get(self.arch, 1))
        probabilities = {
            1: lambda: softmax(logits),
            2: lambda: 1 / (1 + np.exp(-logits)),
            3: lambda: logits,
            4: lambda: np.sqrt(np.log1p(np.exp(logits))),
        }[gating]()
        order = self.selected(prefix, logits, probabilities, used)
        weights = np.take_along_axis(probabilities, order, axis=-1)
        if gating == 3:
            weights = softmax(weights)
        if self.key("expert_weights_norm", self.arch in RENORMALIZED):
            weights = weights / weights.sum(axis=-1, keepdims=True)
        weights = weights * self.key("expert_weights_scale", 1.0)
        if prefix + "ffn_down_exps.scale" in self.tensors:
            weights = weights * self.tensors[prefix + "ffn_down_exps.scale"][order]
        down = self.tensors[prefix + "ffn_down_exps.weight"]
        if prefix + "ffn_gate_up_exps.weight" not in self.tensors:
            up = self.tensors[prefix + "ffn_up_exps.weight"]
            gate = self.tensors.get(prefix + "ffn_gate_exps.weight", [None] * len(up))
        else:
            gate, up = np.split(self.tensors[prefix + "ffn_gate_up_exps.weight"], 2, axis=1)
        none = np.zeros(self.key("expert_count"))
        biases = [
            self.tensors.get(f"{prefix}ffn_{part}_exps.bias", none)
            for part in ("gate", "up", "down")
        ]
        y = np.zeros_like(x)
        for token in range(len(x)):
            for slot, expert in enumerate(order[token]):
                y[token] += weights[token, slot] * self.feed_forward(
                    x[token], gate[expert], up[expert], down[expert],
                    *(b[expert] for b in biases), bound=self.bound("exp", prefix),
                )
        return y + self.shared_expert(prefix, x)

    def selected(self, prefix, logits, probabilities, used):
        """Each token's experts, best first: by logits, or where a bias or groups have a say by what
        those make of the probabilities."""
        plain = np.argsort(-logits, axis=-1, kind="stable")[:, :used]
        bias, groups = self.tensors.get(prefix + "exp_probs_b.bias"), self.key("expert_group_count")
        scores = logits if bias is None and not groups else probabilities
        if bias is not None:
            scores = scores + bias
        if groups:
            grouped = scores.reshape(len(scores), groups, -1)
            sums = np.sort(grouped, axis=-1)[..., -2:].sum(axis=-1)
            best = self.ranked(sums, self.key("expert_group_used_count"))
            kept = np.zeros_like(sums, bool)
            np.put_along_axis(kept, best, True, axis=-1)
            scores = np.where(kept[..., None], grouped, -np.inf).reshape(scores.shape)
        order = self.ranked(scores, used)
        self.chosen += len(order)
        self.rerouted += sum(set(a) != set(b) for a, b in zip(plain, order))
        return order

    def ranked(self, scores, count):
        """The indices of the largest of each row, and notes how clear that is."""
        order = np.argsort(-scores, axis=-1, kind="stable")
        ranked = np.take_along_axis(scores, order, axis=-1)
        gaps = ranked[:, count - 1] - ranked[:, count]
        self.router_margin = min(self.router_margin, float(gaps.min()))
        return order[:, :count]

    def shared_expert(self, prefix, x):
        if prefix + "ffn_up_shexp.weight" not in self.tensors:
            return 0
        gate = self.tensors.get(prefix + "ffn_gate_inp_shexp.weight")
        open_by = 1 if gate is None else 1 / (1 + np.exp(-(x @ gate.reshape(-1, 1))))
        return open_by * self.dense(prefix, "_shexp", x)

    def block(self, layer, x, positions):
        prefix, before = f"blk.{layer}.", x
        y = self.row_norm(prefix + "attn_norm", x)
        if self.arch in ("nemotron_h", "nemotron_h_moe"):
            return x + self.half(layer, y, positions)
        if exact_recurrent.is_recurrent(self, layer):
            y = exact_recurrent.mix(self, layer, y)
        elif exact_latent.is_latent(self, layer):
            y = exact_latent.attend(self, layer, y, positions)
        else:
            y = self.attention(layer, y, positions)
        if self.arch in NORMS_FEED_FORWARD:
            x = x + y
            normed = self.row_norm(prefix + "post_attention_norm", x)
        else:
            x = x + self.residual_scale * self.row_norm(prefix + "post_attention_norm", y)
            normed = self.row_norm(prefix + "ffn_norm", x)
        if self.arch == "gemma4" and prefix + "ffn_gate_inp.weight" in self.tensors:
            y = self.experts_beside(prefix, x, self.dense(prefix, "", normed))
        elif prefix + "ffn_gate_inp.weight" in self.tensors:
            y = self.experts(prefix, normed, before if self.arch == "smallthinker" else normed)
        else:
            y = self.dense(prefix, "", normed)
        x = x + self.residual_scale * self.row_norm(prefix + "post_ffw_norm", y)
        x = exact_gemma4.with_side_input(self, layer, x)
        return x * self.tensors.get(prefix + "layer_output_scale.weight", 1)

    def experts_beside(self, prefix, x, dense):
        """Gemma 4's mixture and its dense network's result, each normed."""
        scale = self.tensors[prefix + "ffn_gate_inp.scale"] / np.sqrt(self.width)
        experts = self.experts(
            prefix, self.row_norm(prefix + "pre_ffw_norm_2", x), self.norm(x, scale)
        )
        dense = self.row_norm(prefix + "post_ffw_norm_1", dense)
        return dense + self.row_norm(prefix + "post_ffw_norm_2", experts)

    def half(self, layer, x, positions):
        """All of a layer that is a mixer or a network alone; x: normed."""
        prefix = f"blk.{layer}."
        if prefix + "ffn_gate_inp.weight" in self.tensors:
            return self.experts(prefix, x, x)
        if prefix + "ffn_up.weight" in self.tensors:
            return self.dense(prefix, "", x)
        if exact_recurrent.is_recurrent(self, layer):
            return exact_recurrent.mix(self, layer, x)
        return self.attention(layer, x, positions)

    def logits(self, tokens):
        """(tokens, vocabulary)"""
        x, positions = self.tensors["token_embd.weight"][tokens], np.arange(len(tokens))
        x = x * self.embedding_scale
        if self.arch == "opt":  # the first two rows are of no position
            x = x + self.tensors["position_embd.weight"][positions + 2]
        self.kept = {}
        exact_gemma4.begin(self, tokens, x)
        for layer in range(self.layers):
            x = self.block(layer, x, positions)
        output = self.tensors.get("output.weight", self.tensors["token_embd.weight"])
        own_norm = "token_embd_norm" if "token_embd_norm.weight" in self.tensors else "output_norm"
        logits = self.row_norm(own_norm, x) @ output.T / self.key("logit_scale", 1.0)
        cap = self.key("final_logit_softcapping")
        return cap * np.tanh(logits / cap) if cap else logits


def softmax(x):
    y = np.exp(x - x.max(axis=-1, keepdims=True))
    return y / y.sum(axis=-1, keepdims=True)


def mean_loss(rows, tokens):
    """Mean negative log-likelihood of each token under the row before it, natural log."""
    top = rows.max(axis=-1)
    sums = top + np.log(np.exp(rows - top[:, None]).sum(axis=-1))
    return float(np.mean([sums[i] - rows[i, tokens[i + 1]] for i in range(len(tokens) - 1)]))


def evaluate(path, tokens, generate, activation=None):
    model = Model(path, activation)
    rows = last = model.logits(tokens)
    greedy, margin = [], np.inf
    for _ in range(generate):
        first, second = np.sort(last[-1])[[-1, -2]]
        margin = min(margin, float((first - second) / (first - last[-1].min())))
        greedy.append(int(last[-1].argmax()))
        last = model.logits(tokens + greedy)
    return {
        "tokens": tokens,
        "greedy": greedy,
        "nll": mean_loss(rows, tokens),
        "logits": [float(v) for v in rows[-1]],
        "margins": {
            "greedy": margin,
            "router": model.router_margin,
            "rerouted": model.rerouted / model.chosen if model.rerouted else np.inf,
        },
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--tokens", required=True)
    parser.add_argument("--generate", type=int, default=16)
    arguments = parser.parse_args()
    print(
        json.dumps(
            evaluate(
                arguments.model, [int(t) for t in arguments.tokens.split(",")], arguments.generate
            )
        )
    )


if __name__ == "__main__":
    main()
