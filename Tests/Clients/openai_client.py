#!/usr/bin/env python3
"""Talks to a running daemon with OpenAI's own Python client over its Unix socket.

    openai_client.py SOCKET [MODEL]

Needs the package openai. Prints a line for each check; the exit status is 1 when one failed. MODEL
is the library's first when it is not given. Any model will do: what is checked is the wire.
"""

import json
import sys

import openai

from client_checks import check, ending, httpx


def refusal(name, expected, parameter, call):
    try:
        call()
        check(name, False, "was accepted")
    except expected as error:
        check(name, error.param == parameter, f"param is {error.param!r}")
    except openai.APIError as error:
        check(name, False, repr(error))


def check_chat(client, model):
    ask = dict(
        model=model,
        messages=[
            {"role": "system", "content": "Answer briefly."},
            {"role": "user", "content": [{"type": "text", "text": "Name a colour."}]},
        ],
        max_tokens=16,
        temperature=0,
        seed=1,
    )
    whole = client.chat.completions.create(**ask)
    choice = whole.choices[0]
    check("chat: object", whole.object == "chat.completion", whole.object)
    check("chat: role", choice.message.role == "assistant", choice.message.role)
    check("chat: finish_reason", choice.finish_reason in ("stop", "length"), choice.finish_reason)
    usage = whole.usage
    check(
        "chat: usage adds up",
        usage.total_tokens == usage.prompt_tokens + usage.completion_tokens > 0,
        usage,
    )
    check("chat: timings", "predicted_per_second" in (whole.timings or {}), whole)

    stream = client.chat.completions.create(
        **ask, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    check("chat stream: one id", len({chunk.id for chunk in chunks}) == 1)
    check("chat stream: opens with the role", chunks[0].choices[0].delta.role == "assistant")
    check("chat stream: usage comes last", chunks[-1].usage and not chunks[-1].choices)
    check("chat stream: usage only there", all(chunk.usage is None for chunk in chunks[:-1]))
    reasons = [c.finish_reason for chunk in chunks for c in chunk.choices if c.finish_reason]
    check("chat stream: one finish_reason", reasons == [choice.finish_reason], reasons)
    text = "".join(c.delta.content or "" for chunk in chunks for c in chunk.choices)
    check("chat stream: same text", text == choice.message.content, (text, choice.message.content))

    logged = client.chat.completions.create(**ask, logprobs=True, top_logprobs=2)
    content = logged.choices[0].logprobs.content
    check("chat: logprobs", content and all(entry.logprob <= 0 for entry in content), content)
    check("chat: top_logprobs", all(len(entry.top_logprobs) <= 2 for entry in content), content)

    extra = client.chat.completions.create(**ask, extra_body={"sluice": {"statistics": True}})
    check("chat: sluice statistics", "bundle_hit_rate" in extra.sluice, extra)
    return ask


def check_completion(client, model):
    ask = dict(model=model, prompt="One, two, three,", max_tokens=16, temperature=0)
    whole = client.completions.create(**ask)
    check("completion: object", whole.object == "text_completion", whole.object)
    chunks = list(client.completions.create(**ask, stream=True))
    text = "".join(c.text for chunk in chunks for c in chunk.choices)
    check("completion stream: same text", text == whole.choices[0].text, text)
    many = client.completions.create(
        **{**ask, "prompt": ["One, two, three,", "A, b, c,"]}, n=2, echo=True, seed=1
    )
    check("completion: choices", [c.index for c in many.choices] == [0, 1, 2, 3], many)
    check("completion: echo", many.choices[3].text.startswith("A, b, c,"), many.choices[3])
    same = many.choices[0].text == ask["prompt"] + whole.choices[0].text
    check("completion: a prompt of a list is as alone", same, many.choices[0])
    chunks = list(client.completions.create(**ask, n=2, stream=True))
    indices = [c.index for chunk in chunks for c in chunk.choices]
    check("completion stream: indices", indices == sorted(indices) and 1 in indices, indices)
    banned = client.completions.create(**ask, logit_bias={"5": -100})
    check("completion: logit_bias", banned.choices[0].finish_reason is not None, banned)
    logged = client.completions.create(**ask, logprobs=1)
    logprobs = logged.choices[0].logprobs
    lengths = {len(logprobs.tokens), len(logprobs.token_logprobs), len(logprobs.text_offset)}
    check("completion: logprobs", len(lengths) == 1 and 0 not in lengths, logprobs)


def check_tools(client, model):
    """Calls and their results, where the model's template knows tools; else their refusal."""
    tools = [{
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather at a place.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }]
    messages = [{"role": "user", "content": "How is the weather in Paris?"}]
    ask = dict(model=model, messages=messages, tools=tools, max_tokens=64, temperature=0)
    try:
        whole = client.chat.completions.create(**ask, tool_choice="auto")
    except openai.BadRequestError as error:
        check("tools: refused by name", error.param == "tools", repr(error))
        return
    choice = whole.choices[0]
    calls = choice.message.tool_calls or []
    check("tools: finish_reason", (choice.finish_reason == "tool_calls") == bool(calls), choice)
    check_streamed_tools(client, ask, choice)
    one = client.chat.completions.create(**ask, parallel_tool_calls=False).choices[0].message
    check("tools: one call", len(one.tool_calls or []) <= 1, one)
    none = client.chat.completions.create(**ask, tool_choice="none").choices[0].message
    check("tools: no call", not none.tool_calls, none)
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": "Sunny."} for call in calls
    ]
    more = client.chat.completions.create(
        **{**ask, "messages": [*messages, choice.message.model_dump(exclude_none=True), *results]}
    )
    check("tools: results are taken", more.object == "chat.completion", more)
    named = {"type": "function", "function": {"name": "get_rain"}}
    refusal(
        "refused: tool_choice", openai.BadRequestError, "tool_choice",
        lambda: client.chat.completions.create(**ask, tool_choice=named),
    )


def check_streamed_tools(client, ask, choice):
    chunks = list(client.chat.completions.create(**ask, stream=True))
    calls, reasoning = {}, ""
    for delta in (chunk.choices[0].delta for chunk in chunks if chunk.choices):
        reasoning += getattr(delta, "reasoning_content", None) or ""
        for call in delta.tool_calls or []:
            known = calls.setdefault(call.index, {"id": call.id, "name": "", "arguments": ""})
            known["name"] += call.function.name or ""
            known["arguments"] += call.function.arguments or ""
    expected = [
        (call.function.name, call.function.arguments) for call in choice.message.tool_calls or []
    ]
    found = [(call["name"], call["arguments"]) for _, call in sorted(calls.items())]
    check("tools stream: same calls", found == expected, (found, expected))
    check("tools stream: ids", all(call["id"] for call in calls.values()), calls)
    thought = getattr(choice.message, "reasoning_content", None) or ""
    check("tools stream: same thoughts", reasoning == thought, (reasoning, thought))


def check_responses(client, model):
    ask = dict(
        model=model,
        instructions="Answer briefly.",
        input=[{"role": "user", "content": [{"type": "input_text", "text": "Name a colour."}]}],
        temperature=0,
    )
    whole = client.responses.create(**ask, metadata={"a": "b"}, store=False, max_output_tokens=64)
    check("responses: object", whole.object == "response" and whole.model == model, whole)
    check("responses: status", whole.status in ("completed", "incomplete"), whole.status)
    check("responses: metadata", whole.metadata == {"a": "b"}, whole.metadata)
    usage = whole.usage
    total = usage.input_tokens + usage.output_tokens
    check("responses: usage adds up", usage.total_tokens == total > 0, usage)
    events = list(client.responses.create(**ask, stream=True, max_output_tokens=64))
    numbers = [event.sequence_number for event in events]
    check("responses stream: numbers", numbers == list(range(len(events))), numbers)
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    check("responses stream: same text", text == whole.output_text, (text, whole.output_text))
    with client.responses.stream(**ask, max_output_tokens=64) as stream:
        kinds = [event.type for event in stream]
        last = kinds[-1] == f"response.{whole.status}"
        check("responses stream: ends", last and kinds[0] == "response.created", kinds)
        if whole.status == "completed":
            final = stream.get_final_response()
            check("responses stream: whole", final.output_text == whole.output_text, final)
    refusal(
        "responses: refused", openai.BadRequestError, "previous_response_id",
        lambda: client.responses.create(**ask, previous_response_id="resp_1"),
    )
    check_response_tools(client, model)


def check_response_tools(client, model):
    tools = [{
        "type": "function", "name": "get_weather", "description": "The weather at a place.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        "strict": False,
    }]
    question = [{"role": "user", "content": "How is the weather in Paris?"}]
    ask = dict(model=model, input=question, tools=tools, max_output_tokens=64, temperature=0)
    try:
        whole = client.responses.create(**ask)
    except openai.BadRequestError as error:
        check("responses tools: refused by name", error.param == "tools", repr(error))
        return
    calls = [item for item in whole.output if item.type == "function_call"]
    with client.responses.stream(**ask) as stream:
        done = [e.item for e in stream if e.type == "response.output_item.done"]
    found = [(i.name, i.arguments) for i in done if i.type == "function_call"]
    check("responses tools: same calls", found == [(c.name, c.arguments) for c in calls], found)
    results = [
        {"type": "function_call_output", "call_id": call.call_id, "output": "Sunny."}
        for call in calls
    ]
    more = client.responses.create(
        **{**ask, "input": [*question, *[i.model_dump() for i in whole.output], *results]}
    )
    check("responses tools: results are taken", more.object == "response", more)


def structured(schema):
    return {"type": "json_schema", "json_schema": {"name": "s", "schema": schema, "strict": True}}


def check_structured(client, ask):
    create = client.chat.completions.create
    ask = {**ask, "temperature": 1.5, "max_tokens": 64, "seed": 5}
    schema = {
        "type": "object",
        "properties": {"colour": {"enum": ["red", "blue"]}, "count": {"type": "integer"}},
        "required": ["colour", "count"],
        "additionalProperties": False,
    }
    choice = create(**ask, response_format=structured(schema)).choices[0]
    value = json.loads(choice.message.content)
    right = value["colour"] in ("red", "blue") and isinstance(value["count"], int)
    check("structured: a schema", right and choice.finish_reason == "stop", choice)
    chunks = create(**ask, response_format=structured(schema), stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    check("structured: a stream has the same text", text == choice.message.content, text)
    begun = create(**ask, response_format={"type": "json_object"}).choices[0].message.content
    check("structured: an object", begun.startswith("{"), begun)
    grammar = create(**ask, extra_body={"grammar": 'root ::= "yes" | "no"'}).choices[0]
    check("structured: a grammar", grammar.message.content in ("yes", "no"), grammar)


def check_embeddings(client, model):
    texts = ["a colour", "a number", "a colour"]
    whole = client.embeddings.create(model=model, input=texts)
    vectors = [entry.embedding for entry in whole.data]
    check("embeddings: one for each", [e.index for e in whole.data] == [0, 1, 2], whole.usage)
    check("embeddings: the same text", vectors[0] == vectors[2] != vectors[1])
    check("embeddings: length", abs(sum(x * x for x in vectors[0]) - 1) < 1e-5)
    check("embeddings: usage", whole.usage.total_tokens == whole.usage.prompt_tokens > 0)
    # The client asks for base 64 by itself.
    plain = client.embeddings.create(model=model, input=texts[0], encoding_format="float")
    near = max(abs(a - b) for a, b in zip(plain.data[0].embedding, vectors[0]))
    check("embeddings: numbers", near < 1e-6, near)
    some = client.embeddings.create(model=model, input=[1, 2, 3], dimensions=4).data[0].embedding
    check("embeddings: tokens, dimensions", len(some) == 4, some)
    refusal(
        "embeddings: refused", openai.BadRequestError, "dimensions",
        lambda: client.embeddings.create(model=model, input="a", dimensions=1 << 19),
    )


def check_refusals(client, ask):
    create = client.chat.completions.create
    bad = openai.BadRequestError
    refusal("refused: n", bad, "n", lambda: create(**ask, n=1000))
    refusal(
        "refused: tools", bad, "tools[0].function.name",
        lambda: create(**ask, tools=[{"type": "function", "function": {"name": "f f"}}]),
    )
    refusal(
        "refused: response_format", bad, "response_format",
        lambda: create(**ask, response_format=structured({"type": "array", "uniqueItems": True})),
    )
    refusal("refused: no messages", bad, "messages", lambda: create(**{**ask, "messages": []}))
    refusal(
        "refused: unknown model", openai.NotFoundError, "model",
        lambda: create(**{**ask, "model": "no-such-model"}),
    )
    refusal(
        "refused before a stream begins", openai.NotFoundError, "model",
        lambda: list(create(**{**ask, "model": "no-such-model"}, stream=True)),
    )


def main():
    if len(sys.argv) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 64
    transport = httpx.HTTPTransport(uds=sys.argv[1])
    client = openai.OpenAI(
        base_url="http://localhost/v1",
        api_key="none",
        http_client=openai.DefaultHttpxClient(transport=transport),
        max_retries=0,
        timeout=600,
    )
    models = [model.id for model in client.models.list()]
    check("models: listed", bool(models), models)
    model = sys.argv[2] if len(sys.argv) == 3 else models[0]
    check("models: retrieved", client.models.retrieve(model).id == model)
    ask = check_chat(client, model)
    check_completion(client, model)
    check_tools(client, model)
    check_responses(client, model)
    check_structured(client, ask)
    check_embeddings(client, model)
    check_refusals(client, ask)
    # Leaving in the middle of a stream must not disturb the next request.
    stream = client.chat.completions.create(**ask, stream=True)
    next(iter(stream))
    stream.close()
    again = client.chat.completions.create(**ask)
    check("after a broken stream: next answer", again.object == "chat.completion")
    return ending()


sys.exit(main())
