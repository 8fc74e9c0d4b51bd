#!/usr/bin/env python3
"""Hold Sluice to a real public model: `make test-models`.

    scripts/test-models.py [--sluice PROGRAM] [--cache DIRECTORY] [--peer PYTHON]

Fetches SmolLM2-135M-Instruct (scripts/fetch_model.py) and checks that it

- imports, and becomes the same tokens in llama.cpp;
- scores a text (nll, nats a token) within 0.5 % of the same weights as plain floats; llama.cpp's
  own distance is said beside;
- gives the same numbers in less memory than its weights take;
- answers a chat in 72 MiB, which the process does not exceed: under a control group's limit where
  the user may make one, else by its peak.

What needs the Python packages gguf and llama-cpp-python is skipped, and said, where PYTHON (this
one, or --peer) has none.
"""

import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile

import fetch_model

HERE = pathlib.Path(__file__).resolve().parent
TEXT = HERE.parent / "docs/STREAMING.md"
MEMORY = 72 << 20
LOSS_MAX = 0.005

# Prints {"nll", "tokens"} of a text's first tokens by llama.cpp: floats for keys and values.
PEER = """
import json, math, sys, numpy, llama_cpp
model = llama_cpp.Llama(sys.argv[1], n_ctx=1024, logits_all=True, verbose=False, type_k=0,
                        type_v=0, flash_attn=False)
tokens = model.tokenize(open(sys.argv[2], "rb").read(), add_bos=False, special=True)[:512]
model.eval(tokens)
rows = numpy.array(model.scores[:len(tokens) - 1], numpy.float64)
top = rows.max(axis=1)
sums = top + numpy.log(numpy.exp(rows - top[:, None]).sum(axis=1))
nll = float(numpy.mean(sums - rows[range(len(tokens) - 1), tokens[1:]]))
print(json.dumps(dict(nll=nll, tokens=tokens)))
"""

# Writes a GGUF file's tensors as floats into another.
WIDEN = """
import sys, gguf
from gguf.quants import dequantize
reader = gguf.GGUFReader(sys.argv[1])
writer = gguf.GGUFWriter(sys.argv[2], reader.fields["general.architecture"].contents())
for name, field in reader.fields.items():
    if not name.startswith("GGUF.") and name != "general.architecture":
        kind = field.types[0]
        part = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), kind, part)
for tensor in reader.tensors:
    writer.add_tensor(tensor.name, dequantize(tensor.data, tensor.tensor_type))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
"""


class Failures(list):
    def check(self, isRight, what):
        print(("right: " if isRight else "WRONG: ") + what, flush=True)
        if not isRight:
            self.append(what)


def has(python, package):
    return subprocess.run([python, "-c", f"import {package}"], capture_output=True).returncode == 0


class ControlGroup:
    """A child of the root's memory controller; none where that is not ours to make."""

    def __init__(self, bytes_max):
        root = pathlib.Path("/sys/fs/cgroup")
        parent, limit = (root, "memory.max")
        if (root / "memory").is_dir():  # version 1
            parent, limit = root / "memory", "memory.limit_in_bytes"
        self.folder = parent / f"sluice-test-models-{os.getpid()}"
        try:
            self.folder.mkdir()
            (self.folder / limit).write_text(str(bytes_max))
        except OSError:
            self.remove()
            self.folder = None

    def enter(self):
        if self.folder:
            (self.folder / "cgroup.procs").write_text(str(os.getpid()))

    def remove(self):
        if self.folder and self.folder.exists():
            self.folder.rmdir()


class Program:
    def __init__(self, sluice, folder):
        self.sluice, self.library = sluice, folder / "models"
        self.environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}

    def run(self, *words, enter=None):
        command = [self.sluice, *map(str, words), "--library", str(self.library)]
        result = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, preexec_fn=enter
        )
        if result.returncode != 0:
            sys.exit(f"{' '.join(command)}\nended with {result.returncode}: {result.stderr[-800:]}")
        return result.stdout

    def nll(self, model, tokens, *options):
        words = ["eval", model, "--json", "--tokens", ",".join(map(str, tokens)), *options]
        return json.loads(self.run(*words))["nll"]


def check_numbers(program, path, peer, folder, failures):
    tokens = [int(word) for word in program.run("tokenize", "smollm2", "--file", TEXT).split()]
    tokens = tokens[:512]
    ours = program.nll("smollm2", tokens, "--resident", "--kv-bits", "32")
    streamed = program.nll("smollm2", tokens, "--memory", "80M", "--kv-bits", "32")
    failures.check(ours == streamed, f"nll {ours:.5f} resident and in 80 MiB, {streamed:.5f}")
    exact = None
    if has(peer, "gguf"):
        subprocess.run([peer, "-c", WIDEN, path, folder / "floats.gguf"], check=True)
        program.run("import", folder / "floats.gguf", "--name", "floats")
        exact = program.nll("floats", tokens, "--resident", "--kv-bits", "32")
        distance = abs(ours / exact - 1)
        failures.check(
            distance <= LOSS_MAX, f"{100 * distance:.3f} % from plain floats' {exact:.5f}")
    else:
        print(f"skipped: plain floats, as {peer} has no package gguf")
    if not has(peer, "llama_cpp"):
        print(f"skipped: llama.cpp, as {peer} has no package llama-cpp-python")
        return
    result = subprocess.run(
        [peer, "-c", PEER, path, TEXT], check=True, capture_output=True, text=True)
    theirs = json.loads(result.stdout.splitlines()[-1])
    failures.check(theirs["tokens"] == tokens, "the same 512 tokens as llama.cpp's")
    beside = f", {100 * abs(theirs['nll'] / exact - 1):.3f} % from plain floats" if exact else ""
    print(f"llama.cpp's nll {theirs['nll']:.5f}{beside}")


def check_chat(program, failures):
    group = ControlGroup(MEMORY)
    try:
        question = "What is the capital of France? Answer with one word."
        answer = program.run(
            "run", "--local", "smollm2", question, "--memory", "72M", "--temperature", "0",
            "--max-tokens", "24", enter=group.enter)
    finally:
        group.remove()
    failures.check("Paris" in answer, f"in 72 MiB it answers {answer.strip()!r}")
    if group.folder:
        print("under a control group's limit of 72 MiB")
    else:
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10
        print(f"no control group; the greatest peak of all runs is {peak >> 20} MiB")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sluice", default=HERE.parent / ".build/release/sluice")
    parser.add_argument("--cache", type=pathlib.Path, default=fetch_model.CACHE)
    parser.add_argument("--peer", default=sys.executable, help="a Python with the packages")
    arguments = parser.parse_args()
    path = fetch_model.fetch(arguments.cache)
    failures = Failures()
    with tempfile.TemporaryDirectory(dir=arguments.cache) as folder:
        folder = pathlib.Path(folder)
        program = Program(str(arguments.sluice), folder)
        program.run("import", path, "--name", "smollm2")
        check_numbers(program, path, arguments.peer, folder, failures)
        check_chat(program, failures)
    sys.exit(f"{len(failures)} wrong" if failures else 0)


if __name__ == "__main__":
    main()
