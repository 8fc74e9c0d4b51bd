"""Writes, for each of llama.cpp's pre-tokenizer names, a vocabulary, random texts, and the ids that
llama.cpp gives them, in the form of llama.cpp's own vocabulary tests (`.gguf`, `.inp`, `.out`).

Needs the Python packages gguf and llama-cpp-python (0.3.36). Run from anywhere, then the test that
compares:

    python3 make_random_texts.py FOLDER [--texts 10000] [--names gpt-2,qwen2]
    SLUICE_RANDOM_TEXTS=FOLDER swift test --filter ConformanceTests
"""

import argparse
import ctypes
import os
import random
import unicodedata

import llama_cpp

import make_cases

SEED = 20261128
SEPARATOR = "\n__ggml_vocab_test__\n"
PHRASES = [
    "the quick brown fox", "I'm", "we'LL they've", "don't", "'s", "HTTPServer", "camelCase",
    "<sentinel:42>", "<sentinel:", "IMGIMGABCDZ", "    ", "  ", "\t\t", "\r\n", "\n\n", " \n \n",
    "1234567", "3.14159", "x = y + 1;", "https://a.b/c?d=e", "...", "…", "//\n", "「日本」", "中文。",
    "한국어 단어", "สวัสดี เก ๑๒๓", "नमस्ते दुनिया", "مرحبا، عالم", "Ελλάδα", "по-русски",
    "e\u0301te\u0301",
    "🚀🦙", "👩\u200d👩\u200d👧", "<|im_start|>", "ㄅㄆㄇ", "ﷺ", "１２３", "²³½", "\u2028", "\u00a0",
]


def blocks():
    """Runs of assigned characters: the scripts, roughly, each of up to 128 characters."""
    found = []
    for start in range(0, 0x110000, 128):
        characters = [
            chr(code) for code in range(start, start + 128)
            if unicodedata.category(chr(code)) not in ("Cn", "Cs", "Co")]
        if characters:
            found.append(characters)
    return found


def characters_of(categories):
    return [
        chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) in categories]


class Texts:
    def __init__(self, seed):
        self.source = random.Random(seed)
        self.scripts = blocks()
        self.digits = characters_of(["Nd", "Nl", "No"])
        self.spaces = [*"     \n\r\t\v\f", "\u0085", "\u00a0", *characters_of(["Zs", "Zl", "Zp"])]
        self.signs = characters_of(["Po", "Pd", "Ps", "Pe", "Sm", "Sc", "Sk"])
        self.marks = characters_of(["Mn", "Mc", "Me"])
        self.emoji = [chr(code) for code in range(0x1F300, 0x1FAFF)] + ["\u200d", "\ufe0f"]
        self.ascii = [chr(code) for code in range(32, 127)]

    def piece(self):
        source = self.source
        if source.random() < 0.01:
            return " " * source.randrange(600)
        pool = source.choice([
            source.choice(self.scripts), source.choice(self.scripts), self.digits, "0123456789",
            self.spaces, " ", "\n", self.signs, self.marks, self.emoji, self.ascii, self.ascii,
            make_cases.KINDS, make_cases.KINDS, None, None])
        if pool is None:
            return source.choice(PHRASES)
        if source.random() < 0.02:
            return chr(source.choice([*range(0xD800), *range(0xE000, 0x110000)]))
        return "".join(source.choices(pool, k=source.randrange(1, 7)))

    def text(self):
        return "".join(self.piece() for _ in range(self.source.randrange(1, 9)))


def pair_vocabulary():
    """Bytes, and most pairs of a character's last byte with another's first: where a word ends
    shows in the ids, whatever the characters."""
    source = random.Random(SEED + 1)
    characters = make_cases.alphabet()
    lasts = [byte for byte in range(192)]
    firsts = [byte for byte in range(256) if not 128 <= byte < 192]
    pairs = [(x, y) for x in lasts for y in firsts if source.random() < 0.8]
    pairs = [pair for pair in pairs if pair not in [(0x31, 0x31), (0x20, 0x20)]]
    pairs.append((0x20, 0x20))
    source.shuffle(pairs)
    merges = [(characters[x], characters[y]) for x, y in pairs] + make_cases.merges_of_spaces()
    tokens = [characters[byte] for byte in range(256)]
    tokens += [left + right for left, right in merges]
    tokens += ["11", "<|begin|>"]
    kinds = [make_cases.NORMAL] * (len(tokens) - 1) + [make_cases.CONTROL]
    return {
        "model": "gpt2", "tokens": tokens, "kinds": kinds, "scores": [],
        "merges": [f"{left} {right}" for left, right in merges],
        "beginning": len(tokens) - 1, "end": len(tokens) - 1,
    }


def write(folder, name, vocabulary, texts):
    path = os.path.join(folder, f"ggml-vocab-{name}.gguf")
    make_cases.write_gguf(path, vocabulary, name)
    reference = make_cases.Reference(path)
    with open(path + ".inp", "wb") as inputs, open(path + ".out", "w") as outputs:
        for text in texts:
            inputs.write((text + SEPARATOR).encode())
            outputs.write(" ".join(map(str, reference.ids(text.encode(), False, False))) + "\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--names", default="")
    options = parser.parse_args()
    silent = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
    os.makedirs(options.folder, exist_ok=True)
    every = make_cases.NAMES + make_cases.CHARACTER_NAMES
    pairs, characters = pair_vocabulary(), make_cases.character_vocabulary()
    source = Texts(SEED)
    texts = [source.text() for _ in range(options.texts)]
    names = options.names.split(",") if options.names else every
    for name in names:
        vocabulary = characters if name in make_cases.CHARACTER_NAMES else pairs
        own = [make_cases.single_spaces(text) for text in texts] if name == "whitespace" else texts
        write(options.folder, name, vocabulary, own)
        print(name, flush=True)
    with open(os.path.join(options.folder, "names.txt"), "w") as file:
        file.writelines(name + "\n" for name in names)


main()
