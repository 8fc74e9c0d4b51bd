#!/usr/bin/env python3
"""Talks to a running daemon with Anthropic's own Python client over its Unix socket.

    anthropic_client.py SOCKET [MODEL]

Needs the package anthropic. Prints a line for each check; the exit status is 1 when one failed.
MODEL is the library's first when it is not given. Any model will do: what is checked is the wire.
"""

import sys

import anthropic

from client_checks import check, ending, httpx


def refusal(name, expected, said, call):
    try:
        call()
        check(name, False, "was accepted")
    except expected as error:
        check(name, said in str(error) and error.body["type"] == "error", repr(error))
    except anthropic.APIError as error:
        check(name, False, repr(error))


def text_of(message):
    return "".join(block.text for block in message.content if block.type == "text")


def check_messages(client, model):
    ask = dict(
        model=model,
        system=[{
            "type": "text", "text": "Answer briefly.", "cache_control": {"type": "ephemeral"},
        }],
        messages=[{"role": "user", "content": [{"type": "text", "text": "Name a colour."}]}],
        max_tokens=16,
        extra_body={"temperature": 0},
    )
    whole = client.messages.create(**ask)
    check("message: type", whole.type == "message" and whole.role == "assistant", whole)
    check("message: model", whole.model == model, whole)
    check("message: stop_reason", whole.stop_reason in ("end_turn", "max_tokens"), whole)
    check("message: a block", whole.content and whole.content[-1].type == "text", whole)
    usage = whole.usage
    total = usage.input_tokens + usage.cache_read_input_tokens
    check("message: usage", total > 0 and usage.output_tokens > 0, usage)
    with client.messages.stream(**ask) as stream:
        kinds = [event.type for event in stream]
        streamed = stream.get_final_message()
    check("stream: same text", text_of(streamed) == text_of(whole), streamed)
    check("stream: same reason", streamed.stop_reason == whole.stop_reason, streamed)
    check("stream: usage", streamed.usage.output_tokens == usage.output_tokens, streamed.usage)
    check("stream: ends", kinds[-1] == "message_stop", kinds)
    events = list(client.beta.messages.create(**ask, stream=True, betas=["some-beta"]))
    check("stream: raw events", events[0].type == "message_start", events)
    count = client.messages.count_tokens(
        model=model, system=ask["system"], messages=ask["messages"]
    )
    check("count_tokens", count.input_tokens >= 0, count)
    return ask


def check_tools(client, model):
    """Calls and their results, where the model's template knows tools; else their refusal."""
    tools = [{
        "name": "get_weather",
        "description": "The weather at a place.",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
    }]
    messages = [{"role": "user", "content": "How is the weather in Paris?"}]
    ask = dict(
        model=model, messages=messages, tools=tools, max_tokens=64, extra_body={"temperature": 0}
    )
    try:
        whole = client.messages.create(**ask, tool_choice={"type": "auto"})
    except anthropic.BadRequestError as error:
        check("tools: refused by name", "tools" in str(error), repr(error))
        return
    calls = [block for block in whole.content if block.type == "tool_use"]
    check("tools: stop_reason", (whole.stop_reason == "tool_use") == bool(calls), whole)
    with client.messages.stream(**ask) as stream:
        streamed = stream.get_final_message()
    found = [(b.name, b.input) for b in streamed.content if b.type == "tool_use"]
    check("tools stream: same calls", found == [(c.name, c.input) for c in calls], streamed)
    one = client.messages.create(
        **ask, tool_choice={"type": "auto", "disable_parallel_tool_use": True}
    )
    check("tools: one call", [b.type for b in one.content].count("tool_use") <= 1, one)
    results = [
        {"type": "tool_result", "tool_use_id": call.id, "content": "Sunny."} for call in calls
    ] or [{"type": "text", "text": "Well?"}]
    conversation = [
        *messages, {"role": "assistant", "content": whole.content},
        {"role": "user", "content": results},
    ]
    more = client.messages.create(**{**ask, "messages": conversation})
    check("tools: results are taken", more.type == "message", more)
    refusal(
        "refused: tool_choice", anthropic.BadRequestError, "tool_choice",
        lambda: client.messages.create(**ask, tool_choice={"type": "tool", "name": "get_rain"}),
    )


def check_refusals(client, ask):
    create = client.messages.create
    image = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": "aGk="},
    }
    refusal(
        "refused: images", anthropic.BadRequestError, "messages[0].content[0].type",
        lambda: create(**{**ask, "messages": [{"role": "user", "content": [image]}]}),
    )
    refusal(
        "refused: no messages", anthropic.BadRequestError, "messages",
        lambda: create(**{**ask, "messages": []}),
    )
    unknown = {**ask, "model": "no-such-model"}
    missing = anthropic.NotFoundError
    refusal("refused: unknown model", missing, "no-such-model", lambda: create(**unknown))
    refusal(
        "refused before a stream begins", missing, "no-such-model",
        lambda: list(create(**unknown, stream=True)),
    )


def main():
    if len(sys.argv) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 64
    transport = httpx.HTTPTransport(uds=sys.argv[1])
    client = anthropic.Anthropic(
        base_url="http://localhost",
        api_key="none",
        http_client=anthropic.DefaultHttpxClient(transport=transport),
        max_retries=0,
        timeout=600,
    )
    models = [model.id for model in client.models.list().data]
    check("models: listed", bool(models), models)
    model = sys.argv[2] if len(sys.argv) == 3 else models[0]
    ask = check_messages(client, model)
    check_tools(client, model)
    check_refusals(client, ask)
    # Leaving in the middle of a stream must not disturb the next request.
    stream = client.messages.create(**ask, stream=True)
    next(iter(stream))
    stream.close()
    again = client.messages.create(**ask)
    check("after a broken stream: next answer", again.type == "message")
    return ending()


sys.exit(main())
