#!/usr/bin/env python3
"""Asks a running daemon for structured answers with the official clients of OpenAI and Anthropic.

    structured_official_client.py SOCKET MODEL [--begin TOKEN]

Needs the packages openai, anthropic, pydantic and jsonschema. MODEL should be one that answers with
noise: whatever it says has to be what was asked for. TOKEN is the number of the token that begins a
call: the chat completions with strict tools then make it likely. Prints a line for each check; the
exit status is 1 when one failed.
"""

import argparse
import json
import sys
from typing import Literal

import anthropic
import jsonschema
import openai
import pydantic

from client_checks import check, ending, httpx


class Colour(pydantic.BaseModel):
    """A colour, and how many there are of it."""
    model_config = pydantic.ConfigDict(extra="forbid")
    name: Literal["red", "green", "blue"]
    count: int
    tags: list[Literal["warm", "cold"]]


ARGUMENTS = {
    "type": "object",
    "properties": {"city": {"enum": ["Paris", "Rome"]}, "days": {"enum": [1, 2, 3]}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
NOTHING = {"type": "object", "properties": {}, "additionalProperties": False}
QUESTION = [{"role": "user", "content": "How is the weather?"}]
SEEDS = range(5)
HOT = {"temperature": 1.5, "top_k": 0}


def is_valid(arguments, schema=None):
    try:
        jsonschema.validate(arguments, schema or ARGUMENTS)
        return True
    except jsonschema.ValidationError:
        return False


def refusal(name, said, call):
    try:
        call()
        check(name, False, "was accepted")
    except (openai.BadRequestError, anthropic.BadRequestError) as error:
        check(name, said in str(error), repr(error))


def check_responses(client, model):
    for seed in SEEDS:
        more = {"extra_body": {**HOT, "seed": seed}, "max_output_tokens": 400}
        parsed = client.responses.parse(
            model=model, input="Name a colour.", text_format=Colour, **more)
        whole = parsed.output_parsed
        check(f"responses.parse {seed}", isinstance(whole, Colour), parsed)
        check(f"responses.parse {seed}: repeated", parsed.text.format.name == "Colour", parsed.text)
        with client.responses.stream(
            model=model, input="Name a colour.", text_format=Colour, **more
        ) as stream:
            final = stream.get_final_response()
        check(f"responses.stream {seed}", final.output_parsed == whole, final)
        some = client.responses.create(
            model=model, input="Name a colour.", text={"format": {"type": "json_object"}}, **more)
        begins = some.output_text.lstrip().startswith("{")
        check(f"responses, json_object {seed}", begins, some.output_text)
    check_response_tools(client, model)


def check_response_tools(client, model):
    def tool(name, parameters, **more):
        return {"type": "function", "name": name, "parameters": parameters, **more}

    tools = [tool("weather", ARGUMENTS, strict=True), tool("now", NOTHING, strict=False)]
    named = {"type": "function", "name": "weather"}
    for choice in ["required", named]:
        for seed in SEEDS:
            answer = client.responses.create(
                model=model, input=QUESTION, tools=tools, tool_choice=choice,
                parallel_tool_calls=False, max_output_tokens=200,
                extra_body={**HOT, "seed": seed})
            calls = [item for item in answer.output if item.type == "function_call"]
            name = f"responses, tool_choice {choice} {seed}"
            right = len(calls) == 1 and is_valid(
                json.loads(calls[0].arguments),
                ARGUMENTS if calls[0].name == "weather" else NOTHING)
            check(name, right and choice in ("required", named), answer.output)
            check(f"{name}: named", choice == "required" or calls[0].name == "weather", calls)
    refusal(
        "responses: no such tool", "there is no tool",
        lambda: client.responses.create(
            model=model, input=QUESTION, tools=tools, tool_choice={**named, "name": "x"}))


def check_strict(client, model, begin):
    """Calls of the model's own accord are held to schemas, too, where tools are strict."""
    def tool(name, parameters, strict):
        function = {"name": name, "parameters": parameters, "strict": strict}
        return {"type": "function", "function": function}

    tools = [tool("weather", ARGUMENTS, True), tool("other", ARGUMENTS, False)]
    found = {"weather": 0, "other": 0}
    for seed in range(20):
        answer = client.chat.completions.create(
            model=model, messages=QUESTION, tools=tools, max_tokens=300, seed=seed,
            logit_bias={begin: 8} if begin else {}, extra_body=HOT)
        choice = answer.choices[0]
        calls = choice.message.tool_calls or []
        if choice.finish_reason == "length":
            calls = calls[:-1]
        for call in calls:
            known = call.function.name in found
            check(f"strict {seed}: known", known, call)
            arguments = json.loads(call.function.arguments)
            found[call.function.name] += known
            right = isinstance(arguments, dict) and (
                call.function.name != "weather" or is_valid(arguments))
            check(f"strict {seed}", right, call)
    check("strict: calls were made", not begin or found["weather"] > 0, found)
    print(f"of their own accord: {found}")
    wrong = tool("f", {"type": "object", "not": {}}, True)
    refusal(
        "strict: a schema that cannot be kept", "tools: #/0/function/parameters/not",
        lambda: client.chat.completions.create(model=model, messages=QUESTION, tools=[wrong]))


def check_messages(client, model):
    tools = [
        {"name": "weather", "input_schema": ARGUMENTS, "strict": True},
        {"name": "now", "input_schema": NOTHING},
    ]
    for choice in [{"type": "any"}, {"type": "tool", "name": "weather"}]:
        for seed in SEEDS:
            answer = client.messages.create(
                model=model, messages=QUESTION, tools=tools, max_tokens=200,
                tool_choice={**choice, "disable_parallel_tool_use": True},
                extra_body={**HOT, "seed": seed})
            calls = [block for block in answer.content if block.type == "tool_use"]
            name = f"messages, tool_choice {choice['type']} {seed}"
            right = len(calls) == 1 and is_valid(
                calls[0].input, ARGUMENTS if calls[0].name == "weather" else NOTHING)
            check(name, right and answer.stop_reason == "tool_use", answer)
            check(f"{name}: named", choice["type"] == "any" or calls[0].name == "weather", calls)
    for seed in SEEDS:
        more = {"extra_body": {**HOT, "seed": seed}, "max_tokens": 400}
        colour = client.messages.parse(
            model=model, messages=QUESTION, output_format=Colour, **more)
        check(f"messages.parse {seed}", isinstance(colour.parsed_output, Colour), colour)
        answer = client.messages.create(
            model=model, messages=QUESTION,
            output_config={"format": {"type": "json_schema", "schema": ARGUMENTS}}, **more)
        text = "".join(block.text for block in answer.content if block.type == "text")
        check(f"messages, output_config {seed}", is_valid(json.loads(text)), text)
    refusal(
        "messages: no tools", "there are no tools",
        lambda: client.messages.create(
            model=model, messages=QUESTION, max_tokens=9, tool_choice={"type": "any"}))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("socket")
    parser.add_argument("model")
    parser.add_argument("--begin")
    options = parser.parse_args()
    transport = httpx.HTTPTransport(uds=options.socket)
    client = openai.OpenAI(
        base_url="http://localhost/v1", api_key="none", max_retries=0, timeout=600,
        http_client=openai.DefaultHttpxClient(transport=transport))
    check_responses(client, options.model)
    check_strict(client, options.model, options.begin)
    client = anthropic.Anthropic(
        base_url="http://localhost", api_key="none", max_retries=0, timeout=600,
        http_client=anthropic.DefaultHttpxClient(transport=transport))
    check_messages(client, options.model)
    return ending()


sys.exit(main())
