#!/usr/bin/env python3
"""Writes the small GGUF files that the tests read, byte by byte from the GGUF specification.

    python3 Tests/Fixtures/gguf/make_gguf_fixtures.py

Needs nothing but Python. The output is deterministic. Files, all beside this script:

tiny-v3.gguf, tiny-v2.gguf      a llama model of one layer, random weights, 272 BPE tokens
tiny-split-0000N-of-00003.gguf  the same model in three parts
tiny-experts.gguf               a qwen3moe model of one layer with four experts
big-endian.gguf                 the header of tiny-v3 as a big-endian writer has it
vocabulary-bpe.gguf             a vocabulary without tensors, of an architecture nobody knows
vocabulary-spm.gguf             a SentencePiece vocabulary without tensors
"""
import os
import random
import struct

HERE = os.path.dirname(os.path.abspath(__file__))
UINT16, UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 2, 4, 5, 6, 7, 8, 9
F32, F16, Q4_0, Q8_0 = 0, 1, 2, 8
BLOCK = {F32: (1, 4), F16: (1, 2), Q4_0: (32, 18), Q8_0: (32, 34)}
ALIGNMENT = 32


def string(value, order):
    data = value if isinstance(value, bytes) else value.encode()
    return struct.pack(order + "Q", len(data)) + data


def scalar(kind, value, order):
    if kind == STRING:
        return string(value, order)
    letter = {UINT16: "H", UINT32: "I", INT32: "i", FLOAT32: "f", BOOL: "?"}[kind]
    return struct.pack(order + letter, value)


def entry(key, kind, value, order):
    data = string(key, order)
    if isinstance(value, list):
        data += struct.pack(order + "IIQ", ARRAY, kind, len(value))
        return data + b"".join(scalar(kind, item, order) for item in value)
    return data + struct.pack(order + "I", kind) + scalar(kind, value, order)


def weights(generator, kind, shape):
    """Rows of blocks with finite scales: what the tests compute with must be numbers."""
    elements, size = BLOCK[kind]
    count = 1
    for length in shape:
        count *= length
    data = bytearray()
    for _ in range(count // elements):
        if kind == F32:
            data += struct.pack("<f", 1 + generator.random() / 8)
        elif kind == F16:
            data += struct.pack("<e", generator.uniform(-0.1, 0.1))
        else:
            data += struct.pack("<e", generator.uniform(0.001, 0.02))
            data += bytes(generator.randrange(256) for _ in range(size - 2))
    return bytes(data)


def pad(data):
    return data + bytes(-len(data) % ALIGNMENT)


def write(name, metadata, tensors, version=3, order="<"):
    """`tensors`: (name, kind, shape with columns first, bytes)."""
    head = b"GGUF" + struct.pack(order + "IQQ", version, len(tensors), len(metadata))
    for key, kind, value in metadata:
        head += entry(key, kind, value, order)
    body = b""
    for tensor, kind, shape, data in tensors:
        head += string(tensor, order) + struct.pack(order + "I", len(shape))
        head += struct.pack(order + "%dQ" % len(shape), *shape)
        head += struct.pack(order + "IQ", kind, len(body))
        body = pad(body + data)
    with open(os.path.join(HERE, name), "wb") as file:
        file.write(pad(head) + body if tensors else head)


def byte_letters():
    """GPT-2's printable stand-in for each byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters, extra = {}, 0
    for byte in range(256):
        letters[byte] = chr(byte) if byte in printable else chr(256 + extra)
        extra += byte not in printable
    return letters


def bpe_vocabulary():
    letters = byte_letters()
    merges = ["t h", "th e", "\u0120 the", "i n", "a n", "an d", "\u0120 and", "o n", "e r",
              "r e", "s t", "in g", "o r"]
    tokens = [letters[byte] for byte in range(256)]
    tokens += [merge.replace(" ", "") for merge in merges]
    tokens += ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]
    kinds = [1] * (len(tokens) - 3) + [3] * 3
    template = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + "
                "message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
                "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
    return [
        ("tokenizer.ggml.model", STRING, "gpt2"),
        ("tokenizer.ggml.pre", STRING, "qwen2"),
        ("tokenizer.ggml.tokens", STRING, tokens),
        ("tokenizer.ggml.token_type", INT32, kinds),
        ("tokenizer.ggml.merges", STRING, merges),
        ("tokenizer.ggml.bos_token_id", UINT32, len(tokens) - 1),
        ("tokenizer.ggml.eos_token_id", UINT32, len(tokens) - 2),
        ("tokenizer.ggml.padding_token_id", UINT32, len(tokens) - 1),
        ("tokenizer.ggml.add_bos_token", BOOL, False),
        ("tokenizer.chat_template", STRING, template),
    ], len(tokens)


def spm_vocabulary():
    tokens = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % byte for byte in range(256)]
    pieces = ["\u2581", "\u2581the", "the", "t", "h", "e", "th", "a"]
    kinds = [2, 3, 3] + [6] * 256 + [1] * len(pieces)
    scores = [0.0] * 259 + [-float(index) for index in range(len(pieces))]
    return [
        ("tokenizer.ggml.model", STRING, "llama"),
        ("tokenizer.ggml.pre", STRING, "default"),
        ("tokenizer.ggml.tokens", STRING, tokens + pieces),
        ("tokenizer.ggml.scores", FLOAT32, scores),
        ("tokenizer.ggml.token_type", INT32, kinds),
        ("tokenizer.ggml.add_bos_token", BOOL, True),
        ("tokenizer.ggml.add_space_prefix", BOOL, True),
    ]


def shape_keys(arch, feed_forward):
    return [
        ("general.architecture", STRING, arch),
        ("general.name", STRING, "tiny " + arch),
        (arch + ".block_count", UINT32, 1),
        (arch + ".context_length", UINT32, 128),
        (arch + ".embedding_length", UINT32, 32),
        (arch + ".feed_forward_length", UINT32, feed_forward),
        (arch + ".attention.head_count", UINT32, 2),
        (arch + ".attention.head_count_kv", UINT32, 1),
        (arch + ".attention.layer_norm_rms_epsilon", FLOAT32, 1e-5),
        (arch + ".rope.dimension_count", UINT32, 16),
        (arch + ".rope.freq_base", FLOAT32, 10000.0),
    ]


def tiny_tensors(vocabulary):
    generator = random.Random(7)
    plan = [
        ("token_embd.weight", Q4_0, (32, vocabulary)), ("output_norm.weight", F32, (32,)),
        ("blk.0.attn_norm.weight", F32, (32,)), ("blk.0.attn_q.weight", Q8_0, (32, 32)),
        ("blk.0.attn_k.weight", Q8_0, (32, 16)), ("blk.0.attn_v.weight", F16, (32, 16)),
        ("blk.0.attn_output.weight", Q8_0, (32, 32)), ("blk.0.ffn_norm.weight", F32, (32,)),
        ("blk.0.ffn_gate.weight", Q4_0, (32, 64)), ("blk.0.ffn_up.weight", Q4_0, (32, 64)),
        ("blk.0.ffn_down.weight", Q4_0, (64, 32)),
    ]
    return [(name, kind, shape, weights(generator, kind, shape)) for name, kind, shape in plan]


def expert_tensors(vocabulary):
    generator = random.Random(8)
    plan = [
        ("token_embd.weight", Q8_0, (32, vocabulary)), ("output_norm.weight", F32, (32,)),
        ("blk.0.attn_norm.weight", F32, (32,)), ("blk.0.attn_q.weight", Q8_0, (32, 32)),
        ("blk.0.attn_k.weight", Q8_0, (32, 16)), ("blk.0.attn_v.weight", Q8_0, (32, 16)),
        ("blk.0.attn_output.weight", Q8_0, (32, 32)), ("blk.0.attn_q_norm.weight", F32, (16,)),
        ("blk.0.attn_k_norm.weight", F32, (16,)), ("blk.0.ffn_norm.weight", F32, (32,)),
        ("blk.0.ffn_gate_inp.weight", F32, (32, 4)),
        ("blk.0.ffn_gate_exps.weight", Q4_0, (32, 32, 4)),
        ("blk.0.ffn_up_exps.weight", Q4_0, (32, 32, 4)),
        ("blk.0.ffn_down_exps.weight", Q4_0, (32, 32, 4)),
    ]
    return [(name, kind, shape, weights(generator, kind, shape)) for name, kind, shape in plan]


def split(number, count, total):
    return [("split.no", UINT16, number), ("split.count", UINT16, count),
            ("split.tensors.count", INT32, total)]


def main():
    vocabulary, count = bpe_vocabulary()
    metadata = shape_keys("llama", 64) + vocabulary
    tensors = tiny_tensors(count)
    write("tiny-v3.gguf", metadata, tensors)
    write("tiny-v2.gguf", metadata, tensors, version=2)
    write("big-endian.gguf", metadata[:4], [], order=">")
    parts = [tensors[:4], tensors[4:8], tensors[8:]]
    for number, part in enumerate(parts):
        keys = split(number, len(parts), len(tensors))
        write("tiny-split-%05d-of-%05d.gguf" % (number + 1, len(parts)),
              metadata + keys if number == 0 else keys, part)
    experts = shape_keys("qwen3moe", 64) + [
        ("qwen3moe.expert_count", UINT32, 4), ("qwen3moe.expert_used_count", UINT32, 2),
        ("qwen3moe.expert_feed_forward_length", UINT32, 32),
        ("qwen3moe.attention.key_length", UINT32, 16),
        ("qwen3moe.attention.value_length", UINT32, 16)]
    write("tiny-experts.gguf", experts + vocabulary, expert_tensors(count))
    write("vocabulary-bpe.gguf", [("general.architecture", STRING, "nobody")] + vocabulary, [])
    write("vocabulary-spm.gguf",
          [("general.architecture", STRING, "llama")] + spm_vocabulary(), [])


if __name__ == "__main__":
    main()
