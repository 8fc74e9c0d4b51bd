#!/usr/bin/env python3
"""Talks to a running daemon with Ollama's own Python client over its Unix socket.

    ollama_client.py SOCKET [MODEL]

Needs the package ollama. Prints a line for each check; the exit status is 1 when one failed. MODEL
is the library's first when it is not given. Any model will do: what is checked is the wire.
"""

import json
import sys

import httpx
import ollama

from client_checks import check, ending


def refusal(name, status, said, call):
    try:
        call()
        check(name, False, "was accepted")
    except ollama.ResponseError as error:
        check(name, error.status_code == status and said in error.error, repr(error))


def check_models(client, wanted):
    models = client.list().models
    check("list: models", bool(models) and all(m.digest and m.size for m in models), models)
    model = wanted or models[0].model
    check("list: times", models[0].modified_at is not None, models[0])
    shown = client.show(model)
    check("show: capabilities", "completion" in shown.capabilities, shown)
    return model


def check_chat(client, model):
    ask = dict(
        model=model,
        messages=[
            {"role": "system", "content": "Answer briefly."},
            {"role": "user", "content": "Name a colour."},
        ],
        options={"num_predict": 16, "temperature": 0, "seed": 1},
        keep_alive="5m",
    )
    whole = client.chat(**ask)
    check("chat: role", whole.message.role == "assistant", whole)
    check("chat: done", whole.done and whole.done_reason in ("stop", "length"), whole)
    check("chat: counts", whole.prompt_eval_count > 0 and whole.eval_count > 0, whole)
    check("chat: durations", whole.total_duration >= whole.eval_duration >= 0, whole)
    pieces = list(client.chat(**ask, stream=True))
    text = "".join(piece.message.content or "" for piece in pieces)
    check("chat: a stream has the same text", text == whole.message.content, text)
    check("chat: only the last is done", [p.done for p in pieces].count(True) == 1, pieces)
    check("chat: loads without messages", client.chat(model=model).done_reason == "load")
    return ask


def check_embeddings(client, model):
    whole = client.embed(model=model, input=["a colour", "a number"])
    check("embed: one for each", len(whole.embeddings) == 2, whole)
    check("embed: counts", whole.prompt_eval_count > 0 and whole.total_duration > 0, whole)
    one = client.embed(model=model, input="a colour", dimensions=8, keep_alive="5m")
    check("embed: dimensions", len(one.embeddings[0]) == 8, one)
    older = client.embeddings(model=model, prompt="a colour")
    check("embeddings: the same", older.embedding == whole.embeddings[0], older)
    long = "colour " * 20000
    check("embed: cut", len(client.embed(model=model, input=long).embeddings) == 1)
    refusal(
        "embed: not cut", 400, "context",
        lambda: client.embed(model=model, input=long, truncate=False),
    )


def check_generate(client, model):
    ask = dict(model=model, prompt="Name a colour.", options={"num_predict": 8, "temperature": 0})
    whole = client.generate(**ask, system="Answer briefly.")
    check("generate: response", whole.done and whole.response is not None, whole)
    raw = client.generate(**ask, raw=True)
    pieces = list(client.generate(**ask, raw=True, stream=True))
    text = "".join(piece.response for piece in pieces)
    check("generate: a stream has the same text", text == raw.response, text)


def check_format(client, ask):
    schema = {
        "type": "object",
        "properties": {"colour": {"enum": ["red", "blue"]}, "count": {"type": "integer"}},
        "required": ["colour", "count"],
    }
    ask = {**ask, "options": {"num_predict": 64, "temperature": 1.5, "seed": 3}}
    answer = client.chat(**ask, format=schema)
    value = json.loads(answer.message.content)
    check("format: a schema", value["colour"] in ("red", "blue"), answer)
    pieces = client.chat(**ask, format=schema, stream=True)
    text = "".join(piece.message.content or "" for piece in pieces)
    check("format: a stream has the same text", text == answer.message.content, text)
    begun = client.chat(**ask, format="json").message.content
    check("format: json", begun.startswith("{"), begun)


def check_refusals(client, ask):
    schema = {"type": "array", "uniqueItems": True}
    refusal("refused: format", 400, "uniqueItems", lambda: client.chat(**ask, format=schema))
    refusal(
        "refused: images", 400, "messages[0].images",
        lambda: client.chat(
            model=ask["model"], messages=[{"role": "user", "content": "", "images": [b"x"]}]
        ),
    )
    unknown = {**ask, "model": "no-such-model"}
    refusal("refused: unknown model", 404, "no-such-model", lambda: client.chat(**unknown))
    refusal(
        "refused before a stream begins", 404, "no-such-model",
        lambda: list(client.chat(**unknown, stream=True)),
    )


def main():
    if len(sys.argv) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 64
    transport = httpx.HTTPTransport(uds=sys.argv[1])
    client = ollama.Client(host="http://localhost", transport=transport, timeout=600)
    model = check_models(client, sys.argv[2] if len(sys.argv) == 3 else None)
    ask = check_chat(client, model)
    check("ps: the model", [m.model for m in client.ps().models] != [], client.ps())
    check_generate(client, model)
    check_embeddings(client, model)
    check_format(client, ask)
    check_refusals(client, ask)
    # Leaving in the middle of a stream must not disturb the next request.
    stream = client.chat(**ask, stream=True)
    next(iter(stream))
    stream.close()
    check("after a broken stream: next answer", client.chat(**ask).done)
    return ending()


sys.exit(main())
