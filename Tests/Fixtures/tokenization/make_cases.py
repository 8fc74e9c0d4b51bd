"""Writes the tokenizer's fixtures: small vocabularies, texts, and the ids that llama.cpp gives
them.

Needs the Python packages gguf and llama-cpp-python (0.3.36). Run from this folder, with any folder
of vocabulary files `ggml-vocab-*.gguf` for the cases of real vocabularies:

    python3 make_cases.py ../../../../shared/vocabs
"""

import collections
import ctypes
import glob
import json
import os
import random
import re
import sys
import tempfile

import gguf
import llama_cpp

PRE_TOKENIZERS = ["gpt-2", "llama-bpe", "qwen2", "deepseek-llm", "default"]
# Every name that llama.cpp has for byte-level BPE on bytes (llama-vocab.cpp).
NAMES = PRE_TOKENIZERS + [
    "smollm", "falcon", "tekken", "gpt-4o", "deepseek-coder", "deepseek-v3", "qwen35",
    "chatglm-bpe", "glm4", "falcon3", "mpt", "phi-2", "starcoder", "refact", "command-r",
    "stablelm2", "hunyuan-dense", "minimax-m2", "lfm2", "dbrx", "olmo", "llama4", "smaug-bpe",
    "llama3", "llama-v3", "falcon-h1", "pixtral", "midm-2.0", "jina-v5-nano", "glm5", "jais",
    "trillion", "granite-docling", "exaone4", "gigachat", "a.x-4.0", "mellum", "modern-bert",
    "jina-es", "jina-de", "jina-v2-es", "jina-v2-de", "jina-v1-en", "jina-v2-code", "roberta-bpe",
    "codeshell", "exaone", "minerva-7b", "mellum2", "deepseek-r1-qwen", "kormo", "f2llmv2",
    "megrez", "hunyuan", "solar-open", "grok-2", "kanana2", "talkie", "joyai-llm", "hy_v4",
    "jais-2", "minicpm5", "spark2_5", "youtu", "poro-chat", "bloom", "gpt3-finnish", "viking",
    "chameleon", "granite-embed-multi-97m", "tiny_aya", "cohere2moe", "kimi-k2", "superbpe",
    "bailingmoe", "bailingmoe2", "llada-moe", "seed-coder", "ufakzeka", "afmoe", "laguna",
    "exaone-moe",
]
# Those that have no alphabet of bytes.
CHARACTER_NAMES = ["gemma4", "granite-embed-multi-311m", "sarvam-moe", "whitespace"]
# One character of each kind that some expression tells from the others.
KINDS = list("Aa1 \n'st!$/`\"") + [
    "É", "é", "中", "ア", "２", "、", "€", "\u0301", "\u3000", "\u200b", "☃", "\r",
    "\t", "_", "한", "ㄅ", "ก", "เ", "๑", "…", "，", "।", "\U00020000", "\U0001f680"]
SEED = 20260701
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6

POOLS = [
    "abcXYZ thequickbrown's'T'Re'LL", "  \t\n\r\u3000\u00a0\u2003\u0085\u200b\u2028",
    "0123456789½²Ⅷ٣", "!?.,;:-_()[]{}<>=+|^~`$#@%&*/\\\"'",
    "éüßñÄΩαβЖщ한국어中文漢字かなカナ𐐀𐒰ℂKÅΩﬁ１２ＡＢ！～「」。、", "🚀🦙😶\u200d🌫️✅",
    "\u0301\u0300\u0e49\u17b6\u0000\u0001\u007f\ud7ff\U000323af\U0001e4f0",
    "<|im_start|><s></s><|eot_id|><0x41><unk>",
]
PIECES = [
    " ", "  ", "a", "the", "'ll", "'D", "\n", "\r\n", "123", "4", ".", "...", "中", "é", " X", "\t",
    "한", "。", " ！", "\u3000", "\u2028", "<|end|>", "<tag>", "<|im_end|>", "  \n ", "fooé", "== ",
]
CORPUS = (
    "the quick brown fox jumps over the lazy dog 'tis the 'LL and we've they're I'm 12345 2024\n\n"
    "    for (int i = 0; i < 10; ++i) {\n        sum += values[i];\n    }\n\n\n"
    "日本語と中文 한국어 по-русски ½ ... !!! ??? --- === <|> the end of the story 1000000 ，。！\r\n"
)


def random_text(source):
    kind = source.randrange(4)
    if kind == 0:
        return "".join(source.choice(source.choice(POOLS)) for _ in range(source.randrange(1, 25)))
    if kind == 1:
        return "".join(source.choice(PIECES) for _ in range(source.randrange(1, 15)))
    if kind == 2:
        start = source.randrange(len(CORPUS) - 80)
        return CORPUS[start : start + source.randrange(1, 80)]
    scalars = [source.randrange(0x3100) for _ in range(source.randrange(1, 12))]
    return "".join(map(chr, scalars))


def texts(source, count):
    result = [b"", b" ", b"\n", b"\xff", b"\xc0\x80", b"a\x00b", b"\xed\xa0\x80\xe2\x82", b"   x  "]
    return result + [random_text(source).encode() for _ in range(count - len(result))]


def training_text():
    """Text in which any two kinds of characters are neighbours, so that merges cross them."""
    source = random.Random(SEED + 2)
    pieces = [random_text(source) for _ in range(400)]
    runs = [str(source.randrange(10**6)) + source.choice(PIECES) for _ in range(200)]
    # Special tokens' texts are not learned; llama.cpp cannot read tokens with NUL.
    return "".join(pieces + runs).replace("<", "").replace("\0", "")


def alphabet():
    """GPT-2's characters for bytes."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(others)}


def learned_merges(symbols, count):
    """Merges of the most frequent pairs, whatever they cross, so that a wrong split shows."""
    merges = []
    for _ in range(count):
        pairs = collections.Counter(zip(symbols, symbols[1:]))
        (left, right), _ = min(pairs.items(), key=lambda item: (-item[1], item[0]))
        merges.append((left, right))
        joined, index = [], 0
        while index < len(symbols):
            if symbols[index : index + 2] == [left, right]:
                joined.append(left + right)
                index += 2
            else:
                joined.append(symbols[index])
                index += 1
        symbols = joined
    return merges


def byte_pair_vocabulary():
    characters = alphabet()
    merges = learned_merges([characters[byte] for byte in training_text().encode()], 420)
    tokens = [characters[byte] for byte in range(256)]
    for left, right in merges:
        if left + right not in tokens:
            tokens.append(left + right)
    kinds = [NORMAL] * len(tokens)
    for text, kind in [
        ("<|begin|>", CONTROL), ("<|im_start|>", CONTROL), ("<|im_end|>", CONTROL),
        ("<|eot_id|>", CONTROL), ("<|end|>", NORMAL), ("<tag>", USER_DEFINED), ("  ", USER_DEFINED),
    ]:
        tokens.append(text)
        kinds.append(kind)
    return {
        "model": "gpt2", "tokens": tokens, "kinds": kinds, "scores": [],
        "merges": [f"{left} {right}" for left, right in merges],
        "beginning": tokens.index("<|begin|>"), "end": tokens.index("<|im_end|>"),
    }


def sentence_piece_vocabulary():
    escaped = training_text().replace(" ", "\u2581")
    merges = learned_merges(list(escaped), 300)
    tokens, kinds, scores = ["<unk>", "<s>", "</s>"], [UNKNOWN, CONTROL, CONTROL], [0.0] * 3
    for byte in range(256):
        tokens.append(f"<0x{byte:02X}>")
        kinds.append(BYTE)
        scores.append(0.0)
    pieces = [left + right for left, right in merges] + ["\u2581", *sorted(set(escaped))[:400]]
    for rank, text in enumerate(dict.fromkeys(pieces)):
        tokens.append(text)
        kinds.append(NORMAL)
        # Pairs of equal scores, so that ties are met.
        scores.append(-float(rank // 2))
    for text in ["<tag>", "\u2581\u2581\u2581"]:
        if text not in tokens:
            tokens.append(text)
            kinds.append(USER_DEFINED)
            scores.append(0.0)
    return {
        "model": "llama", "tokens": tokens, "kinds": kinds, "scores": scores, "merges": [],
        "beginning": 1, "end": 2,
    }


def write_gguf(path, vocabulary, pre):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model(vocabulary["model"])
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(vocabulary["tokens"])
    writer.add_token_types(vocabulary["kinds"])
    if vocabulary["scores"]:
        writer.add_token_scores(vocabulary["scores"])
    if vocabulary["merges"]:
        writer.add_token_merges(vocabulary["merges"])
    writer.add_bos_token_id(vocabulary["beginning"])
    writer.add_eos_token_id(vocabulary["end"])
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_block_count(1)
    writer.add_head_count(1)
    writer.add_feed_forward_length(32)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


class Reference:
    """llama.cpp's tokenizer of one file."""

    def __init__(self, path):
        parameters = llama_cpp.llama_model_default_params()
        parameters.vocab_only = True
        self.model = llama_cpp.llama_model_load_from_file(path.encode(), parameters)
        self.vocabulary = llama_cpp.llama_model_get_vocab(self.model)

    def ids(self, text, add_special, parse_special):
        room = (llama_cpp.llama_token * (2 * len(text) + 16))()
        count = llama_cpp.llama_tokenize(
            self.vocabulary, text, len(text), room, len(room), add_special, parse_special)
        assert count >= 0
        return list(room[:count])

    def cases(self, samples):
        return [
            {"text": text.hex(), "plain": self.ids(text, False, False),
             "special": self.ids(text, True, True)}
            for text in samples
        ]


def small_vocabulary_cases():
    groups = []
    for vocabulary, pres in [
        (byte_pair_vocabulary(), PRE_TOKENIZERS), (sentence_piece_vocabulary(), ["default"])
    ]:
        samples = texts(random.Random(SEED), 60)
        cases = {}
        for pre in pres:
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "vocabulary.gguf")
                write_gguf(path, vocabulary, pre)
                cases[pre] = Reference(path).cases(samples)
        groups.append({"vocabulary": vocabulary, "cases": cases})
    return groups


def merges_of_spaces():
    """Runs of two merge to all powers of two and to three, so that where a run is cut shows."""
    space = alphabet()[0x20]
    return [(space * 2**n, space * 2**n) for n in range(1, 10)] + [(space * 2, space)]


def seam_vocabulary():
    """A vocabulary that joins the bytes at the seam of any two characters of KINDS: where a word
    ends shows in the ids. "11" is a token that no merge makes, for names that take whole words."""
    characters = alphabet()
    tokens = [characters[byte] for byte in range(256)]
    merges = []
    source = random.Random(SEED + 3)
    pairs = [(x, y) for x in KINDS for y in KINDS]
    source.shuffle(pairs)
    for x, y in pairs:
        left, right = characters[x.encode()[-1]], characters[y.encode()[0]]
        if left + right not in tokens and (x, y) != ("1", "1"):
            tokens.append(left + right)
            merges.append(f"{left} {right}")
    for left, right in merges_of_spaces():
        tokens.append(left + right)
        merges.append(f"{left} {right}")
    tokens.append("11")
    tokens.append("<|begin|>")
    return {
        "model": "gpt2", "tokens": tokens, "kinds": [NORMAL] * (len(tokens) - 1) + [CONTROL],
        "scores": [], "merges": merges, "beginning": len(tokens) - 1, "end": len(tokens) - 1,
    }


def character_vocabulary():
    """Merges of any two neighbours, and of some with a third, over characters and not over bytes.
    Bytes have tokens of their own; some characters and what some merges make have none."""
    source = random.Random(SEED + 5)
    kinds = ["\u2581" if kind == " " else kind for kind in KINDS if kind not in "\n\r"]
    merges = [(x, y) for x in kinds for y in kinds if (x, y) != ("1", "1")]
    merges += [(x + y, source.choice(kinds)) for x, y in source.sample(merges, 200)]
    source.shuffle(merges)
    tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    tokens += [kind for kind in kinds if kind not in "☃\t"]
    tokens += sorted({x + y for x, y in merges} - {"a1", "中中"})
    tokens += ["11", "\n", "\n\n", "\n\n\n\n", "<|begin|>"]
    return {
        "model": "gpt2", "tokens": tokens,
        "kinds": [BYTE] * 256 + [NORMAL] * (len(tokens) - 257) + [CONTROL],
        "scores": [], "merges": [f"{x} {y}" for x, y in merges],
        "beginning": len(tokens) - 1, "end": len(tokens) - 1,
    }


def single_spaces(text):
    """llama.cpp's `whitespace` ends at a run of white space that has a space in it: one remains."""
    return re.sub(r"\s*[ ]\s*", " ", text)


def name_cases(vocabulary, names, samples):
    """Texts of all kinds of characters, and each name's ids for them; names with the same ids share
    them."""
    grouped, cases = {}, {}
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "vocabulary.gguf")
            write_gguf(path, vocabulary, name)
            reference = Reference(path)
            ids = [
                [reference.ids(text.encode(), special, special) for text in samples]
                for special in [False, True]]
        first = next((other for other, known in cases.items() if known == ids), name)
        cases[first] = ids
        grouped.setdefault(first, []).append(name)
    return {
        "vocabulary": vocabulary, "texts": [text.encode().hex() for text in samples],
        "groups": [
            {"names": grouped[first], "plain": ids[0],
             "adds": [len(b) > len(a) for a, b in zip(*ids)][0]}
            for first, ids in cases.items()],
    }


def pre_tokenizer_cases():
    source = random.Random(SEED + 4)
    samples = ["".join(source.choices(KINDS, k=source.randrange(2, 9))) for _ in range(60)]
    samples += [
        "aa11bb", "11", "ABCdef'LLx", "HTTPServer2", "ÉAAÉa", "  \n \n  a", "1234567 89",
        "the cat and 한국어 中文", "IMGIMGABZ IMGIMGZ", "<sentinel:12><sentinel:>", "       x",
        "a" + " " * 30 + "b", " " * 13, "!\r\n\n/x", "?//\n\n",
        "AB\u0301C\u0301 \u0301AB !\u0301AB",
        "a\u0301 b\u0301\u0301 c", "\u0301", "12345678901234", "１２３４５", "12３４567 1",
        "กเ๑๑เก เก",
        "一丁龥龦\u9fff", "\uf900\uac00\u8c48\u3131\u318e\u312f\u303f", "can't CAN'T x'S's",
        "\n\n\n a\n\n", "。。. .", " . , x", "\u06d4ab\u060c  c", "\u3400\u4dbf\U0002a6d0a",
        "'st 'stA x'sta", "'tA 'tt 'ss 'ta 'sa", "  1", "   11  2", " " * 9 + "x",
        " " * 5 + "\n" + " " * 7 + "!", " " * 700 + "x", "!" + " " * 1100, "a" + " " * 515 + "1",
        "  11a 1 22", "a1", "a 111", "1a11b111c1111",
    ]
    characters = character_vocabulary()
    texts = [single_spaces(text) for text in samples]
    return [
        name_cases(seam_vocabulary(), NAMES, samples),
        name_cases(characters, CHARACTER_NAMES[:-1], samples),
        name_cases(characters, CHARACTER_NAMES[-1:], texts),
        name_cases({**characters, "model": "gemma4"}, ["default"], samples),
    ]


def real_vocabulary_cases(folder):
    result = {}
    for path in sorted(glob.glob(os.path.join(folder, "ggml-vocab-*.gguf"))):
        result[os.path.basename(path)] = Reference(path).cases(texts(random.Random(SEED + 1), 48))
    return result


def save(name, value):
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), name), "w") as file:
        json.dump(value, file, ensure_ascii=True, separators=(",", ":"))
        file.write("\n")


def main():
    silent = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
    save("small-vocabularies.json", small_vocabulary_cases())
    save("pre-tokenizers.json", pre_tokenizer_cases())
    if len(sys.argv) > 1:
        save("real-vocabularies.json", real_vocabulary_cases(sys.argv[1]))


if __name__ == "__main__":
    main()
