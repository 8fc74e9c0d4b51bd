"""Writes which chat templates Sluice knows, and what Jinja renders from them.

A template is known by a digest of its whole text. It gets into the table only when Jinja's
rendering of it equals that of one of the ways of writing that Sluice has, for every conversation
below. Needs the Python package jinja2. Run from this folder, with any folders of templates
(`*.jinja`; those that llama.cpp keeps in models/templates were used):

    python3 make_chat_templates.py FOLDER...
"""

import glob
import itertools
import json
import os
import sys

import jinja2

HERE = os.path.dirname(os.path.abspath(__file__))
TABLE = os.path.join(HERE, "../../../Sources/Tokenization/KnownChatTemplates.swift")

CONVERSATIONS = [
    [("user", "Hello")],
    [("system", "Be brief."), ("user", "  Hi there \n")],
    [("user", "One"), ("assistant", "\n\nTwo\u3000"), ("user", "\x1fThree <|im_end|> \u00a0")],
    [("system", "  "), ("user", "What is 中文?"), ("assistant", ""), ("user", "tar\r\n")],
    [("user", "a"), ("assistant", "<think>\nx\n\n</think>\n\nb</think>\n c"), ("user", "d")],
    [("user", "a"), ("assistant", "b"), ("assistant", "\n<think>x</think>c"), ("assistant", "d")],
    [("assistant", "b"), ("system", "s"), ("user", "<tool_response>x</tool_response>")],
]
DATE = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"

# The texts that models are published with, where they are one line or two.
DEFAULT_SYSTEMS = [
    "You are a helpful assistant", "You are a helpful assistant.",
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face",
]


def chat_ml_texts():
    """Plain ChatML in the spellings that are about."""
    systems = [None, *DEFAULT_SYSTEMS]
    spellings = itertools.product(
        systems, ["message", "m"], [True, False], ["", " "], ["", "\n"], ["", "undefined "],
        ["first", "each"])
    for system, name, quoted, space, newline, guard, place in spellings:
        def member(key):
            return f"{name}['{key}']" if quoted else f"{name}.{key}"
        first = "messages[0]['role']" if quoted else "messages[0].role"
        turn = (
            f"{{{{{space}'<|im_start|>' + {member('role')} + '\\n' + {member('content')} + "
            f"'<|im_end|>' + '\\n'{space}}}}}")
        preset = (
            "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}"
            "{% endif %}" + newline) if guard else ""
        default = ""
        if system is not None:
            test = "loop.first and " if place == "each" else ""
            default = (
                f"{{% if {test}{first} != 'system' %}}{{{{ '<|im_start|>system\\n{system}"
                "<|im_end|>\\n' }}{% endif %}")
        elif place == "first":
            continue
        loop = f"{{% for {name} in messages %}}"
        body = default + loop + turn if place == "first" else loop + default + turn
        yield (
            preset + body + "{% endfor %}" + newline
            + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")


def llama_3_texts():
    for loop, ending in itertools.product(
        ["{% set loop_messages = messages %}{% for message in loop_messages %}",
         "{% for message in messages %}"],
        ["{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}"
         "{% endif %}", "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}"]):
        yield (
            loop + "{% set content = '<|start_header_id|>' + message['role'] + "
            "'<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' %}"
            "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}"
            "{{ content }}{% endfor %}" + ending)


def spellings(texts):
    """A newline in a literal may be written as such."""
    for text in texts:
        yield text
        if "\\n" in text:
            yield text.replace("\\n", "\n")


# Templates that are merely similar, each of which must be refused.
CHAT_ML = next(chat_ml_texts())
SIMILAR = [
    CHAT_ML.replace("assistant\\n' }}", "assistant\\n<think>\\n' }}"),
    CHAT_ML.replace("assistant\\n' }}", "assistant\\n<think>\\n\\n</think>\\n\\n' }}"),
    "{# <|im_start|> <|im_end|> #}{% for m in messages %}{{ m['content'] }}{% endfor %}",
    CHAT_ML.replace("start", "x").replace("end|", "start|").replace("<|im_x", "<|im_end"),
    CHAT_ML.replace("['content']", "['content'] | trim"),
    CHAT_ML.replace("'<|im_end|>' + '\\n'", "'<|im_end|>'"),
    "<|im_start|><|im_end|>",
    "<|start_header_id|> <|end_header_id|>",
    "[INST] {{ messages[0]['content'] }} [/INST]",
]


def chat_ml(messages, system):
    if system is not None and messages[0]["role"] != "system":
        messages = [{"role": "system", "content": system}, *messages]
    return "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)


def thinking(messages):
    """ChatML of Qwen 3: thoughts of earlier turns are left out."""
    def is_query(m):
        text = m["content"]
        return m["role"] == "user" and not (
            text.startswith("<tool_response>") and text.endswith("</tool_response>"))
    queries = [index for index, m in enumerate(messages) if is_query(m)]
    last = queries[-1] if queries else len(messages) - 1
    text = ""
    for index, m in enumerate(messages):
        content, thought = m["content"], ""
        if m["role"] == "assistant" and "</think>" in content:
            thought = content.split("</think>")[0].rstrip("\n").split("<think>")[-1].lstrip("\n")
            content = content.split("</think>")[-1].lstrip("\n")
        if m["role"] == "assistant" and index > last and (thought or index == len(messages) - 1):
            stripped = thought.strip("\n")
            content = f"<think>\n{stripped}\n</think>\n\n" + content.lstrip("\n")
        text += f"<|im_start|>{m['role']}\n{content}<|im_end|>\n"
    return text


def llama_3(messages, preamble):
    text = ""
    if preamble is not None:
        system = ""
        if messages[0]["role"] == "system":
            system, messages = messages[0]["content"].strip(), messages[1:]
        text = f"<|start_header_id|>system<|end_header_id|>\n\n{preamble}{system}<|eot_id|>"
    for m in messages:
        text += (
            f"<|start_header_id|>{m['role']}<|end_header_id|>\n\n{m['content'].strip()}<|eot_id|>")
    return text


CHAT_ML_PROMPT = "<|im_start|>assistant\n"
LLAMA_3_PROMPT = "<|start_header_id|>assistant<|end_header_id|>\n\n"


def ways(text):
    """Ways of writing that a template might be: Swift's name, turns, what a prompt ends with."""
    yield ".chatML()", lambda messages: chat_ml(messages, None), CHAT_ML_PROMPT
    opening = "<|im_start|>system\n"
    hello = render(text, [{"role": "user", "content": "Hello"}], True) or ""
    if hello.startswith(opening):
        system = hello[len(opening):].split("<|im_end|>")[0]
        literal = json.dumps(system, ensure_ascii=False)
        yield (f".chatML(defaultSystem: {literal})",
               lambda messages: chat_ml(messages, system), CHAT_ML_PROMPT)
    yield ".chatMLThinking", thinking, CHAT_ML_PROMPT
    yield ".llama3()", lambda messages: llama_3(messages, None), LLAMA_3_PROMPT
    yield (".llama3(systemPreamble: datePreamble)",
           lambda messages: llama_3(messages, DATE), LLAMA_3_PROMPT)


ENVIRONMENT = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)


def render(text, messages, prompt):
    """The beginning token is the tokenizer's to add."""
    try:
        return ENVIRONMENT.from_string(text).render(
            messages=messages, add_generation_prompt=prompt, bos_token="")
    except Exception:  # Whatever a template refuses or does not understand.
        return None


def messages_of(conversation):
    return [{"role": role, "content": content} for role, content in conversation]


def way_of(text):
    for name, turns, ending in ways(text):
        if all(render(text, messages_of(c), True) == turns(messages_of(c)) + ending
               for c in CONVERSATIONS):
            return name
    return None


def normal(text):
    """What Jinja itself makes no difference of: kinds of newlines, and one at the end."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text[:-1] if text.endswith("\n") else text


def digest(text):
    """FNV-1a, 64 bits."""
    value = 0xCBF29CE484222325
    for byte in normal(text).encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def cases(text):
    for conversation in CONVERSATIONS:
        for prompt in [True, False]:
            messages = messages_of(conversation)
            if not prompt and "add_generation_prompt" not in text:
                continue
            rendered = render(text, messages, prompt)
            yield {"messages": messages, "prompt": prompt, "rendered": rendered}


def main():
    known, texts = {}, {}
    for text in spellings([*chat_ml_texts(), *llama_3_texts()]):
        name = way_of(text)
        assert name is not None, text
        known[digest(text)] = (name, "")
        texts[digest(text)] = text
    for path in sorted(p for folder in sys.argv[1:] for p in glob.glob(f"{folder}/*.jinja")):
        text = open(path).read()
        name = way_of(text)
        if name is not None:
            source = os.path.basename(path)[: -len(".jinja")]
            same = known.get(digest(text), (name, ""))[1]
            known[digest(text)] = (name, f"{same}, {source}" if same else source)
            texts[digest(text)] = text
    for text in SIMILAR:
        assert way_of(text) is None and digest(text) not in known, text
    by_name = {}
    for value, (name, source) in known.items():
        by_name.setdefault(name, []).append((source, value))
    groups = []
    for name, members in sorted(by_name.items()):
        sources = sorted({part for source, _ in members for part in source.split(", ") if part})
        comment = "".join(f"    // {source}\n" for source in sources)
        values = sorted(value for _, value in members)
        rows = [
            ", ".join(f"0x{v:016x}" for v in values[i : i + 4]) for i in range(0, len(values), 4)]
        way = f"        {name}"
        if len(way) > 98:
            system = name[len(".chatML(defaultSystem: "):]
            way = f"        .chatML(\n            defaultSystem: {system}"
        groups.append(
            f"{comment}    (\n{way},\n        [\n            "
            + ",\n            ".join(rows) + "\n        ]\n    )")
    with open(TABLE, "w") as file:
        file.write(
            "// Made by Tests/Fixtures/tokenization/make_chat_templates.py; do not edit.\n\n"
            "/// Ways of writing conversations, each with the digests (FNV-1a, 64 bits) of"
            " templates that render\n/// exactly that.\n"
            "let knownChatTemplates: [(way: ChatTemplate, digests: [UInt64])] = [\n"
            + ",\n".join(groups) + "\n]\n\n"
            "/// What Llama 3.1 and later begin a conversation with, and the date that their"
            " templates write\n/// when they are told none.\n"
            'private let datePreamble =\n    "Cutting Knowledge Date: December 2023\\n'
            'Today Date: 26 Jul 2024\\n\\n"\n')
    # Short texts themselves, and one text of each way that only long ones have, by its digest.
    samples, seen = [], set()
    for value, (name, source) in known.items():
        if source or name not in seen:
            seen.add(name)
            sample = {"digest": f"{value:016x}", "cases": list(cases(texts[value]))}
            if not source:
                sample["template"] = texts[value]
            samples.append(sample)
    with open(os.path.join(HERE, "chat.json"), "w") as file:
        json.dump({"known": samples, "similar": SIMILAR}, file, ensure_ascii=True,
                  separators=(",", ":"))
        file.write("\n")


main()
