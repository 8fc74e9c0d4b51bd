#!/usr/bin/env python3
"""Write a GGUF of a real model's shape, with fewer layers and random Q4_0 weights: for speed alone.

    pip install gguf numpy
    Benchmarks/synthesize.py SHAPE OUT.gguf --vocabulary VOCABULARY.gguf [--layers N]

The vocabulary is any file with one, such as ../shared/vocabs/ggml-vocab-qwen2.gguf.

Shapes that ../shared/tools/synth_gguf.py does not have: layers with a state in place of
attention, and those of synthesize_attention.py. gpt-oss's experts are MXFP4. Layers are as large
as the real model's, and fewer, so that a small machine holds them. With --empty all weights are 0,
and a hole in the file: for what is told by sizes alone.
"""

import argparse

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter

import synthesize_attention

# Of Q4_0's 16 codes one has no counterpart; without it weights have a mean of 0.
CENTRED = np.array([((c >> 4) or 8) << 4 | ((c & 15) or 8) for c in range(256)], np.uint8)

LINEAR = {
    "ssm.conv_kernel": 4, "ssm.state_size": 128, "ssm.group_count": 16,
    "ssm.time_step_rank": 32, "ssm.inner_size": 4096,
}
SHAPES = {
    # 35B-A3B: 40 layers, 256 experts.
    "qwen35moe": dict(
        layers=8, width=2048, heads=16, kv_heads=2, head_width=256, rotated=64,
        experts=(256, 8, 512), shared=512, counts=LINEAR,
    ),
    # 4B: 32 layers.
    "qwen35": dict(
        layers=8, width=2560, heads=16, kv_heads=4, head_width=256, rotated=64, ffn=9216,
        counts=LINEAR,
    ),
    # As many layers as the real ones have.
    "qwen3-1.7b": dict(
        arch="qwen3", layers=28, width=2048, heads=16, kv_heads=8, head_width=128, ffn=6144,
        counts={},
    ),
    "qwen3-4b": dict(
        arch="qwen3", layers=36, width=2560, heads=32, kv_heads=8, head_width=128, ffn=9728,
        counts={},
    ),
    "qwen3-8b": dict(
        arch="qwen3", layers=36, width=4096, heads=32, kv_heads=8, head_width=128, ffn=12288,
        counts={},
    ),
    # 8B-A1B: 24 layers, attention in six.
    "lfm2moe": dict(
        layers=12, width=2048, heads=32, kv_heads=8, head_width=64, ffn=7168, lead=2,
        experts=(32, 4, 1792), counts={"shortconv.l_cache": 3},
    ),
    # 1.2B: 16 layers, attention in six.
    "lfm2": dict(
        layers=16, width=2048, heads=32, kv_heads=8, head_width=64, ffn=8192,
        counts={"shortconv.l_cache": 3},
    ),
    **synthesize_attention.SHAPES,
}


class Synthesis:
    """The tensors of one file, in order."""

    def __init__(self, architecture, shape, seed):
        self.architecture, self.shape = architecture, shape
        self.random = np.random.default_rng(seed)
        self.plan = []

    def floats(self, name, values):
        self.plan.append((name, np.ascontiguousarray(values, np.float32), None))

    def ones(self, name, *shape):
        self.floats(name, np.ones(shape))

    def normal(self, name, gain, *shape):
        self.floats(name, gain * self.random.standard_normal(shape, dtype=np.float32))

    def matrix(self, name, *shape, kind="Q4_0"):
        self.plan.append((name, kind, shape))

    @property
    def has_delta_rule(self):
        return self.architecture.startswith("qwen35")

    def has_attention(self, layer):
        period = 1 if self.architecture == "qwen3" else 4 if self.has_delta_rule else 3
        return (layer + 1) % period == 0

    def add_layer(self, layer):
        shape, block = self.shape, f"blk.{layer}."
        if self.architecture in synthesize_attention.SHAPES:
            synthesize_attention.add_layer(self, layer)
            return
        width = shape["width"]
        self.ones(block + "attn_norm.weight", width)
        if self.has_attention(layer):
            self.add_attention(block)
        elif self.has_delta_rule:
            self.add_delta_rule(block)
        else:
            self.matrix(block + "shortconv.in_proj.weight", 3 * width, width)
            self.normal(block + "shortconv.conv.weight", 0.5, width, 3)
            self.matrix(block + "shortconv.out_proj.weight", width, width)
        norm = "post_attention_norm" if self.has_delta_rule else "ffn_norm"
        self.ones(block + norm + ".weight", width)
        self.add_feed_forward(block, layer)

    def add_attention(self, block):
        shape = self.shape
        width, head = shape["width"], shape["head_width"]
        gates = 2 if self.has_delta_rule else 1
        self.matrix(block + "attn_q.weight", gates * shape["heads"] * head, width)
        self.matrix(block + "attn_k.weight", shape["kv_heads"] * head, width)
        self.matrix(block + "attn_v.weight", shape["kv_heads"] * head, width)
        self.matrix(block + "attn_output.weight", width, shape["heads"] * head)
        self.ones(block + "attn_q_norm.weight", head)
        self.ones(block + "attn_k_norm.weight", head)

    def add_delta_rule(self, block):
        counts, width = self.shape["counts"], self.shape["width"]
        heads, values = counts["ssm.time_step_rank"], counts["ssm.inner_size"]
        channels = values + 2 * counts["ssm.group_count"] * counts["ssm.state_size"]
        self.matrix(block + "attn_qkv.weight", channels, width)
        self.matrix(block + "attn_gate.weight", values, width)
        self.matrix(block + "ssm_beta.weight", heads, width)
        self.matrix(block + "ssm_alpha.weight", heads, width)
        self.normal(block + "ssm_conv1d.weight", 0.5, channels, counts["ssm.conv_kernel"])
        self.normal(block + "ssm_dt.bias", 1, heads)
        self.floats(block + "ssm_a", -np.exp(np.linspace(-4, 0.5, heads)))
        self.ones(block + "ssm_norm.weight", counts["ssm.state_size"])
        self.matrix(block + "ssm_out.weight", width, values)

    def add_feed_forward(self, block, layer):
        shape, width = self.shape, self.shape["width"]
        if "experts" not in shape or layer < shape.get("lead", 0):
            self.matrix(block + "ffn_gate.weight", shape["ffn"], width)
            self.matrix(block + "ffn_up.weight", shape["ffn"], width)
            self.matrix(block + "ffn_down.weight", width, shape["ffn"])
            return
        count, _, inner = shape["experts"]
        self.normal(block + "ffn_gate_inp.weight", 0.02, count, width)
        if self.architecture in ("lfm2moe", "deepseek2"):
            self.normal(block + "exp_probs_b.bias", 0.01, count)
        self.matrix(block + "ffn_gate_exps.weight", count, inner, width)
        self.matrix(block + "ffn_up_exps.weight", count, inner, width)
        self.matrix(block + "ffn_down_exps.weight", count, width, inner)
        if "shared" in shape:
            if self.architecture != "deepseek2":
                self.normal(block + "ffn_gate_inp_shexp.weight", 0.02, width)
            self.matrix(block + "ffn_gate_shexp.weight", shape["shared"], width)
            self.matrix(block + "ffn_up_shexp.weight", shape["shared"], width)
            self.matrix(block + "ffn_down_shexp.weight", width, shape["shared"])

    def write(self, writer, is_empty):
        for name, values, shape in self.plan:
            if shape is None:
                writer.add_tensor_info(name, values.shape, values.dtype, values.nbytes)
                continue
            row = shape[-1] // 32 * (18 if values == "Q4_0" else 17)
            writer.add_tensor_info(
                name, (*shape[:-1], row), np.dtype(np.uint8), int(np.prod(shape[:-1])) * row,
                raw_dtype=GGMLQuantizationType[values],
            )
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        if is_empty:
            file = writer.fout[0]
            tensors = [t.nbytes for table in writer.tensors for t in table.values()]
            padded = [writer.ggml_pad(n, writer.data_alignment) for n in (file.tell(), *tensors)]
            file.truncate(sum(padded))
            writer.close()
            return
        for _, values, shape in self.plan:
            writer.write_tensor_data(values if shape is None else self.blocks(shape, values))
        writer.close()

    def blocks(self, shape, kind):
        rows, count = int(np.prod(shape[:-1])), shape[-1] // 32
        if kind == "MXFP4":
            codes = self.random.integers(0, 256, size=(rows, count, 17), dtype=np.uint8)
            codes[:, :, 0] = 119  # 2 to the -8th
            return codes.reshape(rows, count * 17)
        codes = CENTRED[self.random.integers(0, 256, size=(rows, count, 18), dtype=np.uint8)]
        scale = np.float16(0.25 / np.sqrt(shape[-1]))
        codes[:, :, :2] = np.frombuffer(scale.tobytes(), np.uint8)
        return codes.reshape(rows, count * 18)


def write_metadata(writer, synthesis):
    shape, architecture = synthesis.shape, synthesis.architecture
    layers = range(shape["layers"])
    writer.add_block_count(shape["layers"])
    writer.add_context_length(32768)
    writer.add_embedding_length(shape["width"])
    writer.add_head_count(shape["heads"])
    if architecture.startswith("qwen"):
        writer.add_head_count_kv(shape["kv_heads"])
        if synthesis.has_delta_rule:
            writer.add_rope_dimension_sections([11, 11, 10, 0])
    elif architecture in synthesize_attention.SHAPES:
        writer.add_head_count_kv(synthesize_attention.kv_heads(architecture, shape))
        synthesize_attention.add_keys(writer, architecture, shape)
    else:
        counts = [shape["kv_heads"] if synthesis.has_attention(n) else 0 for n in layers]
        writer.add_head_count_kv(counts)
    writer.add_key_length(shape["head_width"])
    writer.add_value_length(shape.get("value_width", shape["head_width"]))
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_dimension_count(shape.get("rotated", shape["head_width"]))
    writer.add_rope_freq_base(1e6)
    writer.add_feed_forward_length(synthesize_attention.ffn(shape))
    writer.add_file_type(2)
    for name, count in shape["counts"].items():
        writer.add_uint32(f"{architecture}.{name}", count)
    if "experts" in shape:
        count, used, inner = shape["experts"]
        writer.add_expert_count(count)
        writer.add_expert_used_count(used)
        writer.add_expert_feed_forward_length(inner)
        if "shared" in shape and architecture != "deepseek2":
            writer.add_expert_shared_feed_forward_length(shape["shared"])
        if "lead" in shape:
            writer.add_leading_dense_block_count(shape["lead"])
            if "expert_gating_func" not in shape["counts"]:
                writer.add_uint32(f"{architecture}.expert_gating_func", 2)


def write_vocabulary(writer, path):
    source = GGUFReader(path)
    field = lambda name: source.fields["tokenizer.ggml." + name]
    strings = lambda name: [bytes(field(name).parts[i]) for i in field(name).data]
    tokens = strings("tokens")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([int(field("token_type").parts[i][0]) for i in field("token_type").data])
    writer.add_token_merges([merge.decode() for merge in strings("merges")])
    writer.add_eos_token_id(tokens.index(b"<|endoftext|>"))
    writer.add_vocab_size(len(tokens))
    return len(tokens)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("out")
    parser.add_argument("--vocabulary", required=True)
    parser.add_argument("--layers", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--empty", action="store_true")
    arguments = parser.parse_args()
    shape = dict(SHAPES[arguments.shape])
    shape["layers"] = arguments.layers or shape["layers"]
    architecture = shape.get("arch", arguments.shape)
    writer = GGUFWriter(arguments.out, architecture)
    writer.add_name(arguments.shape)
    synthesis = Synthesis(architecture, shape, arguments.seed)
    write_metadata(writer, synthesis)
    count = write_vocabulary(writer, arguments.vocabulary)
    synthesis.matrix("token_embd.weight", count, shape["width"])
    own_name = arguments.shape.startswith("lfm2")
    synthesis.ones(("token_embd_norm" if own_name else "output_norm") + ".weight", shape["width"])
    synthesis.matrix("output.weight", count, shape["width"])
    synthesize_attention.add_layer_embeddings(synthesis, count)
    for layer in range(shape["layers"]):
        synthesis.add_layer(layer)
    synthesis.write(writer, arguments.empty)


if __name__ == "__main__":
    main()
