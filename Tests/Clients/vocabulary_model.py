#!/usr/bin/env python3
"""Makes a model that says nothing of sense with a real model's vocabulary, to test its tokenizer.

    vocabulary_model.py VOCABULARY.gguf OUT.gguf      needs the Python packages gguf and numpy

One layer of width 64 with random weights around the vocabulary of VOCABULARY.gguf, whose
`tokenizer.*` keys are taken over as they are; the context is 512. Where there is no chat template,
it gets one that Sluice knows.
"""
import json
import os
import sys

import numpy as np
from gguf import GGUFReader, GGUFValueType, GGUFWriter

WIDTH, HEADS, FEED_FORWARD, CONTEXT = 64, 2, 64, 512


TEMPLATES = os.path.join(os.path.dirname(__file__), "../Fixtures/tokenization/chat.json")


def known_template():
    with open(TEMPLATES) as file:
        return next(t["template"] for t in json.load(file)["known"] if t.get("template"))


def copy_tokenizer(source, writer):
    """Takes over every key of the tokenizer, and returns the number of tokens."""
    for name, field in source.fields.items():
        if not name.startswith("tokenizer."):
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind == GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), kind, inner)
    if "tokenizer.chat_template" not in source.fields:
        writer.add_chat_template(known_template())
    return len(source.fields["tokenizer.ggml.tokens"].data)


def main():
    source = GGUFReader(sys.argv[1])
    writer = GGUFWriter(sys.argv[2], "llama")
    writer.add_name("vocabulary")
    writer.add_block_count(1)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    tokens = copy_tokenizer(source, writer)
    writer.add_vocab_size(tokens)
    random = np.random.default_rng(1)

    def matrix(name, rows, columns):
        values = random.standard_normal((rows, columns), dtype=np.float32) / 8
        writer.add_tensor(name, values.astype(np.float16))

    matrix("token_embd.weight", tokens, WIDTH)
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    for name in ("attn_norm", "ffn_norm"):
        writer.add_tensor(f"blk.0.{name}.weight", np.ones(WIDTH, np.float32))
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        matrix(f"blk.0.{name}.weight", WIDTH, WIDTH)
    for name in ("ffn_gate", "ffn_up"):
        matrix(f"blk.0.{name}.weight", FEED_FORWARD, WIDTH)
    matrix("blk.0.ffn_down.weight", WIDTH, FEED_FORWARD)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
