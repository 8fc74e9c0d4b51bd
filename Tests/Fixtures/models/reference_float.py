#!/usr/bin/env python3
"""reference.py with the key-value cache in float32 and flash attention off.

So llama.cpp rounds nothing that a float model does not round itself. Same arguments, same JSON;
reference.py is found as make_references.py finds it.
"""

import os
import pathlib
import runpy
import sys

import llama_cpp

ROOT = pathlib.Path(__file__).resolve().parents[3]
REFERENCE = os.environ.get("REFERENCE_PY", ROOT / "../shared/tools/reference.py")
default_parameters = llama_cpp.llama_context_default_params


def float_parameters():
    parameters = default_parameters()
    parameters.type_k = parameters.type_v = llama_cpp.GGML_TYPE_F32
    parameters.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
    return parameters


llama_cpp.llama_context_default_params = float_parameters
sys.argv[0] = str(REFERENCE)
runpy.run_path(str(REFERENCE), run_name="__main__")
