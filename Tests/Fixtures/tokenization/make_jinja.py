"""Writes templates, and what Python's Jinja makes of them, for the tests of our own Jinja.

Needs the Python package jinja2 3.1. Run from this folder:

    python3 make_jinja.py

With a folder of templates (`*.jinja`; those that llama.cpp keeps in models/templates are meant) and
the program, compares what `sluice template` prints for each of them and for conversations of all
kinds with what Jinja renders, byte for byte, refusals included:

    python3 make_jinja.py --compare FOLDER path/to/sluice
"""

import datetime
import glob
import json
import os
import subprocess
import sys
import tempfile

import jinja2
import jinja2.ext
import jinja2.sandbox

HERE = os.path.dirname(os.path.abspath(__file__))
SECONDS = 1721980800


class Generation(jinja2.ext.Extension):
    """`generation` blocks, which only say what a model is trained on."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        call = self.call_method("_body")
        return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def environment(seconds):
    """Jinja as Hugging Face's transformers sets it up; `from_json` is llama.cpp's."""
    made = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True,
        extensions=[Generation, jinja2.ext.loopcontrols])

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(
            value, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
            sort_keys=sort_keys)

    now = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    made.filters["tojson"] = tojson
    made.filters["from_json"] = json.loads
    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = now.strftime
    return made


def outcome(template, variables):
    """What rendering gives: ("text", it), ("raised", the template's message), or ("error", why)."""
    if isinstance(template, Exception):
        return "error", repr(template)
    try:
        return "text", template.render(**variables)
    except Exception as error:
        if type(error) is jinja2.exceptions.TemplateError:
            return "raised", str(error)
        return "error", repr(error)


# What the templates in jinja-templates.txt are rendered with: one a line; `↵` stands for the end
# of a line.
VARIABLES = {
    "messages": [
        {"role": "system", "content": "  Be <b>brief</b>.\n"},
        {"role": "user", "content": "Grüß\u3000dich, 'you' & \"me\" \U0001f642"},
        {"role": "assistant", "content": None, "tool_calls": [
            {"function": {"name": "f", "arguments": {"b": 1, "a": [1.5, None, True, "x"]}}}]},
        {"role": "tool", "content": "{\"t\": 1}"},
    ],
    "words": ["pear", "Apple", "fig", "apple"], "numbers": [3, 1, 2], "text": " a-b--c \n",
    "table": {"b": 2, "A": 1, "items": "mine", "c": {"d": [1]}}, "zero": 0, "none": None,
    "lines": "one\n\n  two\r\nthree\n", "yes": True, "float": 1e20, "empty": [],
}


# Whole templates, in the ways of writing that most models have.
CHATS = [
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + "
    "message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    "{%- if messages[0].role != 'system' %}{{- '<|im_start|>system\\nBe helpful.<|im_end|>\\n' }}"
    "{%- endif %}\n{%- for m in messages %}\n    {%- set text = m.content %}\n"
    "    {%- if m.role == 'assistant' and '</think>' in text %}\n"
    "        {%- set text = text.split('</think>')[-1].lstrip('\\n') %}\n    {%- endif %}\n"
    "    {{- '<|im_start|>' + m.role + '\\n' + text + '<|im_end|>\\n' }}\n{%- endfor %}\n"
    "{%- if add_generation_prompt %}\n    {{- '<|im_start|>assistant\\n' }}\n"
    "    {%- if enable_thinking is defined and enable_thinking is false %}\n"
    "        {{- '<think>\\n\\n</think>\\n\\n' }}\n    {%- endif %}\n{%- endif %}\n",
    "{% for message in messages %}{% set content = '<|start_header_id|>' + message['role'] + "
    "'<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}"
    "{{ content }}{% endfor %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}",
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}</s>{% endfor %}<|assistant|>",
]
CONVERSATIONS = [
    [("user", "Hello")],
    [("system", "Be brief."), ("user", "  Hi there \n")],
    [("user", "One"), ("assistant", "\n\nTwo\u3000"), ("user", "\x1fThree <|im_end|> \u00a0")],
    [("system", "  "), ("user", "What is \u4e2d\u6587?"), ("assistant", ""), ("user", "tar\r\n")],
    [("user", "a"), ("assistant", "<think>\nx\n</think>\n\nb</think>\n c"), ("user", "d")],
]


def write(name, members):
    """A JSON object, each element of its lists in a line."""
    def text(value):
        return json.dumps(value, ensure_ascii=False)

    def lines(value):
        if not isinstance(value, list):
            return text(value)
        return "[\n" + ",\n".join(map(text, value)) + "\n]"

    with open(os.path.join(HERE, name), "w") as file:
        body = ",\n".join(f"{text(key)}: {lines(value)}" for key, value in members.items())
        file.write("{\n" + body + "\n}\n")


def chats():
    made = environment(SECONDS)
    known = []
    for source in CHATS:
        cases = []
        for messages, prompt in ((m, p) for m in CONVERSATIONS for p in (True, False)):
            listed = [{"role": role, "content": content} for role, content in messages]
            kind, result = outcome(
                made.from_string(source),
                {"messages": listed, "add_generation_prompt": prompt, "bos_token": "<s>"})
            case = {"messages": listed, "prompt": prompt}
            if kind == "text":
                case["rendered"] = result
            cases.append(case)
        known.append({"template": source, "cases": cases})
    write("chat.json", {"known": known})


def fixture():
    made = environment(SECONDS)
    cases = []
    with open(os.path.join(HERE, "jinja-templates.txt")) as file:
        lines = file.read().rstrip("\n").split("\n")
    for line in lines:
        text = line.replace("↵", "\n")
        for source in (text, text.replace("{% for", "\n    {% for") + "\n\n"):
            try:
                template = made.from_string(source)
            except Exception as error:
                template = error
            kind, result = outcome(template, VARIABLES)
            case = {"template": source, "kind": kind}
            if kind != "error":
                case["result"] = result
            cases.append(case)
    variables = json.dumps(VARIABLES, ensure_ascii=False)
    write("jinja.json", {"variables": variables, "cases": cases})


def conversations():
    """Messages and variables of all kinds: system, tools and their results, reasoning, parts."""
    weather = {"type": "function", "function": {
        "name": "get_weather", "description": "Get the weather\nof a <city> & more.",
        "parameters": {"type": "object", "required": ["city"], "properties": {
            "city": {"type": "string", "description": "Name, e.g. \"Z\u00fcrich\""},
            "days": {"type": "integer", "default": 3, "minimum": 1},
            "unit": {"type": "string", "enum": ["c", "f"]},
            "tags": {"type": "array", "items": {"type": "string"}},
            "more": {"type": "object", "properties": {"a": {"type": "number"}}}}}}}
    now = {"type": "function", "function": {
        "name": "now", "description": "Time", "parameters": {"type": "object", "properties": {}}}}

    def say(role, content, **more):
        return {"role": role, "content": content, **more}

    def call(arguments, number="abcdef123"):
        return {"id": number, "type": "function", "function": {
            "name": "get_weather", "arguments": arguments}}

    def result(content, number="abcdef123", **more):
        return say("tool", content, tool_call_id=number, **more)

    ask = say("user", "w?")
    parts = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    image = [{"type": "image"}, {"type": "image_url", "image_url": {"url": "x"}}]
    messages = {
        "user": [say("user", "Hello <|im_end|> \u4e2d\u6587 \U0001f642")],
        "system": [say("system", "Be brief.\n "), say("user", " Hi there \n")],
        "turns": [
            say("system", "s"), say("user", "One"), say("assistant", "\n\nTwo\u3000"),
            say("user", "\x1fThree \u00a0"), say("assistant", "4"), say("user", "tar\r\n")],
        "call": [
            ask, say("assistant", "", tool_calls=[call({"city": "Bern", "days": 2})]),
            result("{\"t\": 21.5}", name="get_weather"), say("assistant", "It is 21.5."), ask],
        "calls": [
            say("system", "sys"), ask, say("assistant", "ok", tool_calls=[
                call({"city": "B", "tags": ["a"], "more": {"a": 1.0}, "x": None, "y": True}),
                call({"city": "Z\u00fcrich"}, "abcdef124")]),
            result("21", name="get_weather"), result("22", "abcdef124", name="get_weather")],
        "text arguments": [
            ask, say("assistant", None, tool_calls=[call("{\"city\": \"Bern\"}")]),
            result("sunny", name="get_weather")],
        "reasoning": [
            ask, say("assistant", "b", reasoning_content="I think\nso. "), ask,
            say("assistant", "<think>\nx\n</think>\n\nd", reasoning="r", thinking="t"), ask],
        "reasoning and call": [
            ask, say("assistant", "", reasoning_content="need", tool_calls=[call({"city": "X"})]),
            result("res")],
        "thinking": [
            ask, say("assistant", "<think>x</think>c"),
            say("assistant", "\n<think>\n y\n</think>\n\n"),
            say("user", "<tool_response>x</tool_response>")],
        "parts": [say("user", parts), say("assistant", parts[:1]), say("user", parts + image)],
        "system of parts": [say("system", parts), say("user", parts)],
        "result of parts": [
            ask, say("assistant", "", tool_calls=[call({"city": "Bern"})]), result(parts), ask],
        "result of an object": [
            ask, say("assistant", "", tool_calls=[call({})]), result({"a": [1, 2.5, None]})],
        "null": [ask, say("assistant", None), say("user", None)],
        "no content": [ask, {"role": "assistant", "tool_calls": [call({})]}, result(None)],
        "developer": [say("developer", "dev"), ask],
        "system later": [ask, say("system", "mid"), say("assistant", "y"), ask],
        "assistant first": [say("assistant", "b"), ask],
        "assistant last": [ask, say("assistant", "pre")],
        "empty": [say("user", "")], "unknown role": [say("wizard", "x"), ask], "none": [],
    }
    documents = [{"title": "T", "text": "doc text", "content": "dc", "doc_id": 1}]
    variants = [
        {}, {"add_generation_prompt": False}, {"tools": [weather, now]},
        {"enable_thinking": False, "reasoning_effort": "high", "thinking": False},
        {"tools": [weather], "enable_thinking": True, "reasoning_effort": "low",
         "thinking": True, "documents": documents, "date_string": "26 Jul 2024"},
    ]
    for name, listed in messages.items():
        for number, variant in enumerate(variants):
            yield f"{name}, {number}", {
                "messages": listed, "tools": None, "add_generation_prompt": True,
                "bos_token": "<s>", "eos_token": "</s>", **variant}


def ours(program, path, variables, folder):
    """What `sluice template` gives, as `outcome`; the text is bytes."""
    names = {"messages", "tools", "add_generation_prompt"}
    command = [program, "template", "--file", path, "--time", str(SECONDS)]
    for name in ("messages", "tools"):
        if variables[name] is not None:
            place = os.path.join(folder, name)
            with open(place, "w") as file:
                json.dump(variables[name], file)
            command += ["--" + name, place]
    if not variables["add_generation_prompt"]:
        command.append("--no-generation-prompt")
    for name, value in variables.items():
        if name not in names:
            command += ["--set", f"{name}={json.dumps(value)}"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode < 0:
        return "crash", done.stderr
    return ("text", done.stdout) if done.returncode == 0 else ("error", done.stderr)


def compare(templates, program):
    made = environment(SECONDS)
    same = refused = 0
    different = []
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted(glob.glob(os.path.join(templates, "*.jinja"))):
            with open(path, newline="") as file:
                source = file.read()
            try:
                template = made.from_string(source)
            except Exception as error:
                template = error
            for name, variables in conversations():
                kind, text = outcome(template, variables)
                our_kind, our_text = ours(program, path, variables, folder)
                if kind == "text" and our_kind == "text" and text.encode() == our_text:
                    same += 1
                elif kind != "text" and our_kind == "error":
                    refused += 1
                else:
                    different.append(f"{os.path.basename(path)}: {name}: {kind} {our_kind}")
    print(*different, sep="\n")
    print(f"{same} alike, {refused} refused by both, {len(different)} different")
    return 1 if different or same == 0 else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--compare"]:
        sys.exit(compare(*sys.argv[2:4]))
    fixture()
    chats()
