#!/usr/bin/env python3
"""Talks to a running daemon through LangChain and LiteLLM.

    frameworks_client.py SOCKET MODEL [langchain-openai] [langchain-ollama] [litellm]

MODEL should know tools. Of the packages named (all where none is), those that are not installed are
skipped. LangChain's classes get HTTP clients for the Unix socket; LiteLLM gets a bridge from TCP.
Prints a line for each check; the exit status is 1 when one failed. Any model will do that calls
tools when it has to: what is checked is that each way works.
"""

import importlib.util
import logging
import os
import sys

import pydantic

from client_checks import bridge, check, ending, httpx

QUESTION = "Name a colour."


class Colour(pydantic.BaseModel):
    """A colour."""
    model_config = pydantic.ConfigDict(extra="forbid")
    name: str = pydantic.Field(max_length=8)
    warm: bool


TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather at a place.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
            "required": ["city"],
        },
    },
}


def attempt(name, call, right=lambda result: True):
    """A check that a call works, whatever it raises."""
    try:
        result = call()
        check(name, right(result), result)
        return result
    except Exception as error:  # Whatever the framework makes of an answer is its own.
        check(name, False, repr(error)[:600])
        return None


def is_colour(value):
    return isinstance(value, Colour)


def check_chat_model(name, model, tools=True):
    """What all of LangChain's chat models do."""
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

    first = attempt(f"{name}: invoke", lambda: model.invoke(QUESTION), lambda m: m.usage_metadata)
    attempt(
        f"{name}: stream", lambda: "".join(p.text for p in model.stream(QUESTION)),
        lambda text: first is not None and text == first.text)
    attempt(f"{name}: batch", lambda: model.batch([QUESTION, "b"]), lambda all: len(all) == 2)
    attempt(f"{name}: roles", lambda: model.invoke(
        [SystemMessage("s"), HumanMessage("u"), AIMessage("a"), HumanMessage("u")]))
    if not tools:
        return
    bound = model.bind_tools([TOOL])
    attempt(f"{name}: tools", lambda: bound.invoke(QUESTION))
    call = {"name": "weather", "args": {"city": "Paris"}, "id": "call_1"}
    attempt(f"{name}: results of tools", lambda: bound.invoke([
        HumanMessage("u"), AIMessage("", tool_calls=[call]), ToolMessage("Sunny.",
                                                                         tool_call_id="call_1")]))


def langchain_openai(path, model):
    from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings

    common = dict(
        base_url="http://localhost/v1", api_key="none", max_retries=0,
        http_client=httpx.Client(transport=httpx.HTTPTransport(uds=path), timeout=600))
    chat = ChatOpenAI(model=model, temperature=0, max_tokens=64, **common)
    check_chat_model("ChatOpenAI", chat)
    attempt(
        "ChatOpenAI: tool_choice", lambda: chat.bind_tools(
            [TOOL], tool_choice="any", parallel_tool_calls=False).invoke(QUESTION),
        lambda m: m.tool_calls[0]["args"]["city"] in ("Paris", "Rome"))
    for method in ["json_schema", "function_calling"]:
        attempt(
            f"ChatOpenAI: with_structured_output, {method}",
            lambda: chat.with_structured_output(Colour, method=method).invoke(QUESTION), is_colour)
    attempt(
        "ChatOpenAI: json_mode",
        lambda: chat.bind(response_format={"type": "json_object"}).invoke(QUESTION),
        lambda m: m.text.lstrip().startswith("{"))
    attempt("ChatOpenAI: logprobs", lambda: chat.bind(logprobs=True).invoke(QUESTION),
            lambda m: m.response_metadata["logprobs"])
    responses = ChatOpenAI(
        model=model, temperature=0, max_tokens=64, use_responses_api=True, **common)
    attempt("ChatOpenAI, Responses: invoke", lambda: responses.invoke(QUESTION))
    attempt("ChatOpenAI, Responses: stream", lambda: list(responses.stream(QUESTION)), bool)
    attempt(
        "ChatOpenAI, Responses: with_structured_output",
        lambda: responses.with_structured_output(Colour).invoke(QUESTION), is_colour)
    attempt(
        "OpenAI (completions): invoke",
        lambda: OpenAI(model=model, temperature=0, max_tokens=8, **common).invoke("One, two,"))
    # Counting tokens by itself needs OpenAI's own vocabulary.
    vectors = OpenAIEmbeddings(model=model, check_embedding_ctx_length=False, **common)
    attempt("OpenAIEmbeddings: documents", lambda: vectors.embed_documents(["a", "b"]),
            lambda all: len(all) == 2 and len(all[0]) > 1)
    attempt("OpenAIEmbeddings: query", lambda: vectors.embed_query("a"), lambda v: len(v) > 1)


def langchain_ollama(path, model):
    import httpx as plain
    from langchain_ollama import ChatOllama, OllamaEmbeddings, OllamaLLM

    common = dict(
        model=model, base_url="http://localhost",
        sync_client_kwargs={"transport": plain.HTTPTransport(uds=path), "timeout": 600})
    chat = ChatOllama(temperature=0, num_predict=64, **common)
    check_chat_model("ChatOllama", chat)
    attempt(
        "ChatOllama: with_structured_output",
        lambda: chat.with_structured_output(Colour, method="json_schema").invoke(QUESTION),
        is_colour)
    attempt(
        "ChatOllama: format json", lambda: chat.bind(format="json").invoke(QUESTION),
        lambda m: m.text.lstrip().startswith("{"))
    attempt("OllamaLLM: invoke",
            lambda: OllamaLLM(temperature=0, num_predict=8, **common).invoke("One, two,"))
    vectors = OllamaEmbeddings(**common)
    attempt("OllamaEmbeddings: documents", lambda: vectors.embed_documents(["a", "b"]),
            lambda all: len(all) == 2 and len(all[0]) > 1)


def litellm(path, model):
    # Its table of prices is not fetched.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm as lite

    lite.suppress_debug_info = True
    base = f"http://127.0.0.1:{bridge(path)}"
    messages = [{"role": "user", "content": QUESTION}]
    ways = {
        f"openai/{model}": f"{base}/v1", f"ollama_chat/{model}": base, f"ollama/{model}": base,
        f"anthropic/{model}": base, f"hosted_vllm/{model}": f"{base}/v1",
    }
    for way, address in ways.items():
        ask = dict(model=way, api_base=address, api_key="none", messages=messages, max_tokens=64,
                   timeout=600, num_retries=0)
        name = f"LiteLLM, {way.split('/')[0]}"
        attempt(f"{name}: completion", lambda: lite.completion(**ask),
                lambda r: r.choices[0].finish_reason)
        attempt(f"{name}: stream", lambda: list(lite.completion(**ask, stream=True)), bool)
        if way.startswith("ollama/"):
            continue
        attempt(f"{name}: tools", lambda: lite.completion(**ask, tools=[TOOL]))
        if way.startswith("ollama_chat/"):
            continue
        attempt(
            f"{name}: tool_choice", lambda: lite.completion(
                **ask, tools=[TOOL], tool_choice="required"),
            lambda r: r.choices[0].message.tool_calls)
    for way in ["openai", "hosted_vllm", "ollama_chat"]:
        address = ways[f"{way}/{model}"]
        attempt(
            f"LiteLLM, {way}: response_format", lambda: lite.completion(
                model=f"{way}/{model}", api_base=address, api_key="none", messages=messages,
                max_tokens=64, response_format=Colour),
            lambda r: Colour.model_validate_json(r.choices[0].message.content))
    attempt(
        "LiteLLM, openai: embedding", lambda: lite.embedding(
            model=f"openai/{model}", api_base=f"{base}/v1", api_key="none", input=["a", "b"]),
        lambda r: len(r.data) == 2)
    attempt(
        "LiteLLM, ollama: embedding",
        lambda: lite.embedding(model=f"ollama/{model}", api_base=base, input=["a", "b"]),
        lambda r: len(r.data) == 2)
    attempt(
        "LiteLLM, openai: responses", lambda: lite.responses(
            model=f"openai/{model}", api_base=f"{base}/v1", api_key="none", input=QUESTION,
            max_output_tokens=64), lambda r: r.output)
    attempt(
        "LiteLLM, openai: text_completion", lambda: lite.text_completion(
            model=f"text-completion-openai/{model}", api_base=f"{base}/v1", api_key="none",
            prompt="One, two,", max_tokens=8), lambda r: r.choices)


PACKAGES = {
    "langchain-openai": ("langchain_openai", langchain_openai),
    "langchain-ollama": ("langchain_ollama", langchain_ollama),
    "litellm": ("litellm", litellm),
}


def main():
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 64
    logging.disable(logging.ERROR)
    path, model, *wanted = sys.argv[1:]
    for package in wanted or PACKAGES:
        module, body = PACKAGES[package]
        if importlib.util.find_spec(module) is None:
            print(f"skipped: no package {package}")
            continue
        body(path, model)
    return ending()


sys.exit(main())
