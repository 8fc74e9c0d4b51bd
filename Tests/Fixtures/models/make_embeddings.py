#!/usr/bin/env python3
"""Write embeddings.json: llama.cpp's vectors of fixed tokens, for each way of pooling.

    pip install llama-cpp-python gguf numpy
    python3 Tests/Fixtures/models/make_embeddings.py

As make_references.py does, with a float32 key-value cache and no flash attention. Each vector is
divided by its length, as llama-server does.
"""

import ctypes
import json
import pathlib

import llama_cpp
import numpy as np

import make_references

HERE = pathlib.Path(__file__).resolve().parent
NAMES = [
    "llama", "qwen3", "qwen2moe", "olmoe", "olmo2", "granite", "nemotron", "gpt-oss", "lfm2",
    "qwen35", "deepseek2",
]
POOLINGS = {
    "mean": llama_cpp.LLAMA_POOLING_TYPE_MEAN,
    "cls": llama_cpp.LLAMA_POOLING_TYPE_CLS,
    "last": llama_cpp.LLAMA_POOLING_TYPE_LAST,
}


def embed(model, tokens, pooling):
    parameters = llama_cpp.llama_context_default_params()
    parameters.type_k = parameters.type_v = llama_cpp.GGML_TYPE_F32
    parameters.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
    parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = 512
    parameters.embeddings = True
    parameters.pooling_type = pooling
    context = llama_cpp.llama_init_from_model(model, parameters)
    batch = llama_cpp.llama_batch_init(len(tokens), 0, 1)
    batch.n_tokens = len(tokens)
    for index, token in enumerate(tokens):
        batch.token[index], batch.pos[index] = token, index
        batch.n_seq_id[index], batch.seq_id[index][0] = 1, 0
        batch.logits[index] = 1
    assert llama_cpp.llama_decode(context, batch) == 0
    width = llama_cpp.llama_model_n_embd(model)
    values = np.array(llama_cpp.llama_get_embeddings_seq(context, 0)[:width], np.float64)
    llama_cpp.llama_batch_free(batch)
    llama_cpp.llama_free(context)
    return [round(float(value), 7) for value in values / np.sqrt((values**2).sum())]


def main():
    llama_cpp.llama_backend_init()
    silent = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
    fixture = {}
    for name in NAMES:
        parameters = llama_cpp.llama_model_default_params()
        parameters.n_gpu_layers = 0
        path = str(HERE / f"{name}.gguf").encode()
        model = llama_cpp.llama_model_load_from_file(path, parameters)
        tokens = make_references.prompt(name)
        vectors = {label: embed(model, tokens, pooling) for label, pooling in POOLINGS.items()}
        fixture[name] = {"tokens": tokens, **vectors}
        llama_cpp.llama_model_free(model)
    text = json.dumps(fixture, separators=(",", ":")).replace("},", "},\n")
    (HERE / "embeddings.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
