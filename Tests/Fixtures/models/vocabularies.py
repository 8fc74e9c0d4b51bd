"""The vocabularies that make_models.py writes, with their chat template."""

TEMPLATE = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' "
    "+ message['content'] + '<|im_end|>' + '\\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

MERGES = (
    "Ġ t,Ġ a,h e,i n,r e,o n,Ġt he,e r,Ġ s,a t,Ġ w,Ġ o,e n,Ġ c,i t,i s,a n,o r,e s,Ġ b,e d,Ġ f,"
    "in g,Ġ p,o u,Ġa n,a l,a r,Ġt o,Ġ m,Ġo f,Ġ in,Ġ d,Ġ h,Ġan d,i c,a s,l e,Ġt h,o m,c u,cu r,cur l"
).split(",")
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def byte_characters():
    """GPT-2's reversible map from bytes to printable characters."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in kept]
    return {
        **{byte: chr(byte) for byte in kept},
        **{byte: chr(256 + i) for i, byte in enumerate(rest)},
    }


def bpe(writer, pre):
    characters = byte_characters()
    tokens = (
        [characters[byte] for byte in range(256)]
        + [merge.replace(" ", "") for merge in MERGES]
        + SPECIAL
    )
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([1] * (len(tokens) - len(SPECIAL)) + [3] * len(SPECIAL))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(tokens.index("<|endoftext|>"))
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    return len(tokens), [*range(32, 127), *range(256, 256 + len(MERGES))]


def spm(writer):
    words = ["▁", *"etaoinshrdlucmfwypvbgkjqxz"]
    words += (
        "▁t he ▁the in ▁a an ▁an and ▁and er ▁o ▁of ▁c ur ▁cur ▁curl is ▁is ! . , ? é 你".split()
    )
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)] + words
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * 259 + [-float(1 + i) for i in range(len(words))])
    writer.add_token_types([2, 3, 3] + [6] * 256 + [1] * len(words))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(True)
    return len(tokens), list(range(259, len(tokens)))
