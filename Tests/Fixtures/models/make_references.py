#!/usr/bin/env python3
"""Write NAME.json beside each tiny NAME.gguf: llama.cpp's numbers and exact ones, for fixed tokens.

    pip install llama-cpp-python gguf numpy
    python3 Tests/Fixtures/models/make_references.py [NAME...]
    python3 Tests/Fixtures/models/make_references.py --real

--real writes ../references/NAME-*.json for the models in ../shared/models. REFERENCE_PY names
reference.py where it is not ../shared/tools/reference.py. README.md explains the fields.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

import exact_forward
import make_models

HERE = pathlib.Path(__file__).resolve().parent
SHARED = HERE.parents[2] / "../shared"
# Prompts longer than a key-value page of 64 tokens, and prompts whose continuation crosses into the
# second page.
LENGTHS = {
    "llama": 72,
    "qwen3": 72,
    "qwen3moe": 72,
    "qwen2moe": 72,
    "llama-rope-factors": 72,
    "llama-rope-linear": 72,
    "llama-rope-yarn": 72,
    "llama-rope-yarn-betas": 72,
    "llama-q4_0": 72,
    "llama-q4_k": 72,
    "olmoe": 56,
    "qwen2": 56,
    "nemotron": 72,
    "opt": 72,
    "llama-biases": 56,
    "mixtral": 56,
    "llama-q8_0": 56,
    "granite": 72,
    "granitemoe": 56,
    "smollm3": 72,
    "olmo2": 56,
    "gemma3": 72,
    "smallthinker": 56,
    "exaone4": 56,
    "seed_oss": 56,
    "gemma2": 72,
    "hunyuan-dense": 56,
    "mistral3": 72,
    "gpt-oss": 72,
    "gpt-oss-mxfp4": 56,
    "dots1": 56,
    "dots1-chosen": 40,
    "dots1-softplus": 40,
    "bailingmoe2": 56,
    "glm4moe": 56,
    "ernie4_5-moe": 56,
    "ernie4_5-moe-step": 40,
    "minimax-m2": 56,
    "afmoe": 72,
    "laguna": 72,
    "hunyuan-moe": 56,
    "phi3": 72,
    "phi3-short": 72,
    "lfm2": 72,
    "lfm2moe": 56,
    "qwen35": 72,
    "qwen35-q8_0": 72,
    "qwen35moe": 72,
    "qwen3next": 72,
    "granitehybrid": 72,
    "granitehybrid-q8_0": 56,
    "nemotron_h": 72,
    "nemotron_h_moe": 72,
    "nemotron_h_moe-q8_0": 56,
    "gemma4": 72,
    "bailingmoe3": 72,
    "bailingmoe3-bounded": 56,
    "gemma4-moe": 72,
    "gemma4-shared": 72,
    "gemma4-shared-q8_0": 56,
    "deepseek2": 72,
    "deepseek2-lite": 40,
    "deepseek2-q8_0": 56,
}
GENERATED = 16
EXACT_ONLY = {
    "llama-rope-yarn-betas",
    "qwen3moe-sigmoid",
    "olmoe-normalized",
    "llama-relu",
    "llama-relu-q8_0",
    "ernie4_5-moe-step",
    "opt",
    "opt-q8_0",
}
# What a file cannot say: sluice import --activation.
ACTIVATIONS = {"llama-relu": "relu", "llama-relu-q8_0": "relu"}
PROMPTS = {"curl": "What is curl?", "git": "How do I show the commit history with git?"}
CHAT = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
REAL_GENERATED = 28  # the answers end after 29 tokens, and what follows is arbitrary
MARGIN_MIN = 0.03  # the continuation is cut where its likeliest tokens come closer than this
EVALUATION_BYTES = 2000  # fewer than 512 tokens


def prompt(name):
    """Fixed tokens that the model can meet: printable ones, after <|im_start|> (or <s>)."""
    random = np.random.default_rng(sum(name.encode()))
    first, low, high = (
        (1, 259, 310) if make_models.MODELS[name].get("vocab") == "spm" else (300, 256, 299)
    )
    rest = random.integers(32 if low == 256 else low, high, size=LENGTHS.get(name, 24) - 1)
    return [first] + [int(t) for t in np.where((rest > 126) & (rest < 256), rest % 90 + 33, rest)]


def reference(model, *arguments):
    """llama.cpp's numbers with a float32 key-value cache and no flash attention."""
    command = [sys.executable, HERE / "reference_float.py", model, *arguments]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def deviation(values, exact):
    """Largest difference as a fraction of the logit range (docs/ARCHITECTURE.md section 6)."""
    exact = np.array(exact)
    return float(np.abs(np.array(values) - exact).max() / (exact.max() - exact.min()))


def tiny(name, model=None):
    model = model or HERE / f"{name}.gguf"
    tokens = prompt(name)
    exact = exact_forward.evaluate(model, tokens, GENERATED, ACTIVATIONS.get(name))
    margins = {
        key: round(value, 4) for key, value in exact.pop("margins").items() if np.isfinite(value)
    }
    exact["logits"] = [round(value, 6) for value in exact["logits"]]
    exact["nll"] = round(exact["nll"], 7)
    fixture = {"source": "exact_forward.py", **exact, "margins": margins}
    if name in EXACT_ONLY:
        return fixture
    theirs = reference(model, "--tokens", ",".join(map(str, tokens)), "--generate", str(GENERATED))
    theirs["nll"] = round(theirs["nll"], 7)
    del exact["tokens"]
    exact["deviation"] = float(f"{deviation(theirs['logits'], exact['logits']):.2g}")
    return {"source": "llama.cpp", **theirs, "exact": exact, "margins": margins}


def real(model, question):
    """As tiny(), for a model with many logits: fewer digits, exact ones only as a deviation."""
    prompt = CHAT.format(question)
    theirs = reference(model, "--text", prompt, "--generate", str(REAL_GENERATED))
    tokens, greedy = theirs["tokens"], theirs["greedy"]
    rows = exact_forward.Model(model).logits(tokens + greedy)
    answered = np.sort(rows[len(tokens) - 1 : -1])
    gaps = (answered[:, -1] - answered[:, -2]) / (answered[:, -1] - answered[:, 0])
    clear = int(np.argmax(gaps < MARGIN_MIN)) if (gaps < MARGIN_MIN).any() else len(gaps)
    assert (
        greedy[:clear] == rows[len(tokens) - 1 :].argmax(axis=1)[:clear].tolist()
    ), "greedy differs from exact"
    return {
        "source": "llama.cpp",
        "prompt": prompt,
        "tokens": tokens,
        "greedy": greedy[:clear],
        "nll": round(theirs["nll"], 6),
        "logits": [float(f"{value:.4g}") for value in theirs["logits"]],
        "exact": {
            "nll": round(exact_forward.mean_loss(rows, tokens), 6),
            "deviation": float(f"{deviation(theirs['logits'], rows[len(tokens) - 1]):.2g}"),
        },
        "margins": {"greedy": round(float(gaps[:clear].min()), 4)},
    }


def evaluation(model):
    """Mean negative log-likelihood of the first EVALUATION_BYTES of eval-chat.txt, one context."""
    text = (SHARED / "models/eval-chat.txt").read_bytes()[:EVALUATION_BYTES].decode(errors="ignore")
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        scored = reference(model, "--file", file.name, "--generate", "0", "--no-logits")
    exact = exact_forward.mean_loss(
        exact_forward.Model(model).logits(scored["tokens"]), scored["tokens"]
    )
    return {
        "file": "eval-chat.txt",
        "bytes": len(text.encode()),
        "tokens": len(scored["tokens"]),
        "nll": round(scored["nll"], 6),
        "exact": {"nll": round(exact, 6)},
    }


def write(path, fixture):
    path.write_text(json.dumps(fixture, separators=(",", ":")) + "\n")
    print(
        path.name,
        path.stat().st_size,
        fixture.get("margins", ""),
        fixture.get("exact", {}).get("deviation", ""),
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--real", action="store_true")
    arguments = parser.parse_args()
    if arguments.real:
        out = HERE.parent / "references"
        out.mkdir(exist_ok=True)
        for model in sorted((SHARED / "models").glob("*.gguf")):
            for label, question in PROMPTS.items():
                write(out / f"{model.stem}-{label}.json", real(model, question))
            write(out / f"{model.stem}-evaluation.json", evaluation(model))
        return
    for name in arguments.names or make_models.MODELS:
        write(HERE / f"{name}.json", tiny(name))


if __name__ == "__main__":
    main()
