#!/usr/bin/env python3
"""Asks a running daemon for answers by JSON Schema and checks every one of them.

    structured_client.py SOCKET [--model MODEL] [--generations N] [--tools]

Needs the package jsonschema. For each of twenty schemas N answers (10) at temperature 1.5, each
whole and as a stream, which must be the same text; every second one is sampled from the whole
vocabulary (top_k 0, top_p 1, min_p 0). Every answer must have ended by itself and be valid. With
--tools, calls that are required, too. The exit status is 1 when an answer was wrong.
"""

import argparse
import datetime
import http.client
import json
import socket
import sys
import time

import jsonschema

failures = 0
FORMATS = jsonschema.FormatChecker(["date", "uuid"])


@FORMATS.checks("date-time", ValueError)
def is_date_time(value):
    """RFC 3339's; jsonschema itself needs a package more for it."""
    parsed = datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
    return "T" in value and parsed.tzinfo is not None


def text(most, least=0):
    return {"type": "string", "minLength": least, "maxLength": most}


def whole(least, most):
    return {"type": "integer", "minimum": least, "maximum": most}


def thing(required=None, **properties):
    names = list(properties) if required is None else required
    return {
        "type": "object", "properties": properties, "required": names,
        "additionalProperties": False,
    }


def several(items, least, most):
    return {"type": "array", "items": items, "minItems": least, "maxItems": most}


TREE = thing(
    value=whole(0, 9),
    left={"anyOf": [{"type": "null"}, {"$ref": "#/$defs/leaf"}]},
)
SHAPES = [
    thing(kind={"const": "circle"}, radius=whole(1, 50)),
    thing(kind={"const": "box"}, width=whole(1, 50), height=whole(1, 50)),
]
SCHEMAS = {
    "person": thing(name=text(20, 1), age=whole(0, 130), mail={"type": ["string", "null"],
                                                               "maxLength": 20}),
    "optional": thing(["b"], a=text(5), b={"type": "boolean"}, c=whole(-5, 5), d={"type": "null"}),
    "numbers": several({"type": "number", "minimum": -10, "maximum": 10}, 1, 4),
    "enumeration": {"enum": ["red", "green", 3, None, True, {"deep": [1, "x"]}, "quote\" \\ é"]},
    "nested": thing(a=thing(b=thing(c=several(several(whole(0, 3), 1, 2), 1, 2)))),
    "tuple": {"type": "array", "prefixItems": [text(8), whole(1, 12), {"type": "boolean"}],
              "items": False, "minItems": 3},
    "either": {"anyOf": [whole(100, 999), text(6, 2), {"type": "boolean"}]},
    "shapes": several({"oneOf": SHAPES}, 1, 3),
    "recursive": {**TREE, "$defs": {"leaf": thing(value=whole(0, 9), left={"type": "null"})}},
    "date": thing(day={"type": "string", "format": "date"},
                  at={"type": "string", "format": "date-time"}),
    "uuid": thing(id={"type": "string", "format": "uuid"}),
    "pattern": thing(code={"type": "string", "pattern": "^[A-Z]{3}-[0-9]{2,4}(\\.[a-z]+|\"x\")?$",
                           }, tag={"type": "string", "pattern": "^(alpha|beta|\\w{1,4})$"}),
    "extras": {"type": "object", "properties": {"known": whole(0, 5)}, "required": ["known"],
               "additionalProperties": whole(1, 9)},
    "merged": {"allOf": [thing(["a"], a=whole(1, 100)), {"required": ["a"]}]},
    "definitions": {**thing(from_={"$ref": "#/definitions/place"},
                            to={"$ref": "#/definitions/place"}),
                    "definitions": {"place": thing(x=whole(-90, 90), y=whole(-180, 180))}},
    "signs": several({"type": "integer", "exclusiveMinimum": -8, "exclusiveMaximum": 1200}, 3, 6),
    "strings": several(text(10, 3), 1, 4),
    "constant": thing(version={"const": 2}, mode={"type": "string", "enum": ["fast", "slow"]}),
    "wide": thing(**{f"field{index}": {"type": "boolean"} for index in range(12)}),
    "floats": thing(p={"type": "number"}, q={"type": "number", "minimum": 0, "maximum": 1}),
}
TOOLS = [
    {"type": "function", "function": {
        "name": "find_files", "parameters": thing(["pattern"], pattern=text(12, 1),
                                                  depth=whole(1, 9))}},
    {"type": "function", "function": {"name": "disk_free", "parameters": thing()}},
]


def check(name, passed, detail=""):
    global failures
    failures += not passed
    if not passed:
        print(f"FAIL {name}: {detail}", flush=True)


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=600)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(600)
        self.sock.connect(self.path)


def ask(path, body):
    """The answer's content, calls, finish reason, and number of tokens."""
    connection = Connection(path)
    connection.request("POST", "/v1/chat/completions", json.dumps(body))
    response = connection.getresponse()
    data = response.read()
    connection.close()
    if response.status != 200:
        raise RuntimeError(data.decode())
    if not body.get("stream"):
        answer = json.loads(data)
        choice = answer["choices"][0]
        calls = [call["function"] for call in choice["message"].get("tool_calls") or []]
        return (choice["message"]["content"], calls, choice["finish_reason"],
                answer["usage"]["completion_tokens"])
    content, calls, reason = "", {}, None
    for line in data.decode().split("\n"):
        if not line.startswith("data: {"):
            continue
        event = json.loads(line[6:])
        if "error" in event:
            raise RuntimeError(line)
        for choice in event["choices"]:
            delta = choice["delta"]
            content += delta.get("content") or ""
            for call in delta.get("tool_calls") or []:
                known = calls.setdefault(call["index"], {"name": "", "arguments": ""})
                known["name"] += call["function"].get("name") or ""
                known["arguments"] += call["function"].get("arguments") or ""
            reason = choice["finish_reason"] or reason
    return content, [call for _, call in sorted(calls.items())], reason, 0


def request(options, question, seed):
    body = {
        "messages": [{"role": "user", "content": question}], "temperature": 1.5, "seed": seed,
        "max_tokens": 440,
    }
    if options.model:
        body["model"] = options.model
    if seed % 2:
        body.update(top_k=0, top_p=1, min_p=0)
    return body


def check_schema(options, name, schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema, format_checker=FORMATS)
    tokens = 0
    for seed in range(options.generations):
        body = request(options, "What is curl?", seed)
        body["response_format"] = {
            "type": "json_schema", "json_schema": {"name": name, "schema": schema}}
        content, _, reason, count = ask(options.socket, body)
        tokens += count
        try:
            problems = [error.message for error in validator.iter_errors(json.loads(content))]
        except ValueError as error:
            problems = [str(error)]
        check(f"{name} {seed}", not problems and reason == "stop", (content, reason, problems))
        streamed = ask(options.socket, {**body, "stream": True})
        check(f"{name} {seed}: stream", streamed[:1] == (content,) and streamed[2] == reason,
              (content, streamed))
    return tokens


def check_tools(options):
    for seed in range(options.generations):
        for choice in ["required", {"type": "function", "function": {"name": "disk_free"}}]:
            body = request(options, "How much space is left?", seed)
            body.update(tools=TOOLS, tool_choice=choice, parallel_tool_calls=seed % 2 == 0)
            _, calls, reason, _ = ask(options.socket, body)
            name = f"tools {seed} {choice}"
            # Noise calls until there are no tokens left, the last time by half.
            is_cut = reason == "length" and body["parallel_tool_calls"] and len(calls) > 1
            check(name, is_cut or bool(calls) and reason == "tool_calls", (calls, reason))
            for call in calls[:-1] if is_cut else calls:
                tools = {tool["function"]["name"]: tool["function"] for tool in TOOLS}
                check(name, call["name"] in tools, call)
                jsonschema.validate(
                    json.loads(call["arguments"]), tools[call["name"]]["parameters"])
            check(f"{name}: named", choice == "required" or
                  [call["name"] for call in calls] == ["disk_free"], calls)
            streamed = ask(options.socket, {**body, "stream": True})
            check(f"{name}: stream", streamed[1] == calls, (calls, streamed))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("socket")
    parser.add_argument("--model")
    parser.add_argument("--generations", type=int, default=10)
    parser.add_argument("--tools", action="store_true")
    options = parser.parse_args()
    for name, schema in SCHEMAS.items():
        start = time.monotonic()
        tokens = check_schema(options, name, schema)
        seconds = time.monotonic() - start
        count = options.generations
        print(f"{name}: {count} answers, {tokens} tokens, {seconds:.1f} s", flush=True)
    if options.tools:
        check_tools(options)
    print(f"{failures} failed")
    return 1 if failures else 0


sys.exit(main())
