"""What the clients of a soak do (soak.py): every dialect, as streams and whole, structured answers,
tokens, looks, bad requests, clients that leave or read slowly, connections that do nothing.

Each action asks something, looks at all of the answer, and says what became of it: "answered",
"refused" (as it should be), "full" (429, 503 or 529 with Retry-After), "left". Broken is raised for
everything that no client has caused. Python's standard library only.
"""

import base64
import http.client
import json
import math
import pathlib
import socket
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "Fire"))
import fire  # noqa: E402

ANSWER_SECONDS = 180
WORDS = ("the a of to and in is for with index file kernel shell table row process memory page "
         "disk read write socket server client answer why how list all each when fast slow 7 42 , "
         ". ? : größe 内核 𝛼 {x} <b> \"quoted\" don't\n").split(" ")
SCHEMA = {"type": "object", "additionalProperties": False, "required": ["name", "count", "tags"],
          "properties": {"name": {"type": "string", "maxLength": 12},
                         "count": {"type": "integer", "minimum": 0, "maximum": 99},
                         "tags": {"type": "array", "maxItems": 3,
                                  "items": {"enum": ["one", "two", "three"]}}}}


class Broken(Exception):
    """An answer that should have been another."""


class Full(Exception):
    """There were too many at once: what clients cause."""


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=ANSWER_SECONDS)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(ANSWER_SECONDS)
        self.sock.connect(self.path)

    def ask(self, route, body=None):
        """Status, headers and text of an answer."""
        if body is None:
            self.request("GET", route)
        else:
            self.request("POST", route, json.dumps(body), {"Content-Type": "application/json"})
        response = self.getresponse()
        return response.status, response.headers, response.read().decode()


def expect(condition, what):
    if not condition:
        raise Broken(what)


def right(status, headers, text):
    """Whether an answer is one; else says that there were too many, or what is wrong."""
    if status in (429, 503, 529):
        expect(status == 529 or headers["Retry-After"], f"{status} without Retry-After: {text}")
        raise Full
    expect(status == 200, f"{status}: {text}")


def sound(objects):
    """That none of a stream's objects is an error; or that the error says to come again."""
    for each in objects:
        if each.get("error"):
            if any(word in json.dumps(each) for word in ("overloaded", "try again later")):
                raise Full
            raise Broken(f"an error in a stream: {each}")


def whole(answer):
    right(*answer)
    return json.loads(answer[2])


def events(answer):
    """What a stream of server-sent events had, without its comments."""
    right(*answer)
    found = [line[6:] for line in answer[2].split("\n") if line.startswith("data: ")]
    expect(found and answer[2].endswith("\n\n"), f"a stream that does not end: {answer[2][-300:]}")
    objects = [json.loads(line) for line in found if line != "[DONE]"]
    sound(objects)
    return objects, found[-1] == "[DONE]"


class Client:
    """One who asks; `random` decides what, so that a seed names all of it."""

    def __init__(self, daemon, is_open):
        self.daemon, self.path, self.model = daemon, daemon.path, daemon.model
        self.is_open = is_open
        # Bodies of megabytes are the fire suite's.
        self.bad = [(name, request) for name, request in fire.malformed(daemon).items()
                    if len(request) < 300_000]
        self.random = None

    # What is asked for.

    def text(self, most):
        count = self.random.randint(1, most)
        return " ".join(self.random.choice(WORDS) for _ in range(count))

    def prompt(self):
        return self.text(self.random.choice([8, 8, 40, 40, 300]))

    def sampling(self, tokens="max_tokens"):
        return {tokens: self.random.choice([1, 8, 8, 30, 100]),
                "temperature": self.random.choice([0, 0.7, 1.5]),
                "seed": self.random.getrandbits(64), "model": self.model}

    def ask(self, route, body=None):
        connection = Connection(self.path)
        try:
            return connection.ask(route, body)
        finally:
            connection.close()

    # Dialects.

    def chat(self, route="/v1/chat/completions", **more):
        body = {"messages": [{"role": "user", "content": self.prompt()}], **self.sampling(), **more}
        return self.openai(route, body)

    def completion(self):
        more = self.random.choice([{}, {"n": 2}, {"logprobs": 2}, {"echo": True}, {"stop": ["\n"]},
                                   {"prompt": [self.text(5), self.text(5)]}, {"ignore_eos": True}])
        return self.openai("/v1/completions", {"prompt": self.prompt(), **self.sampling(), **more})

    def openai(self, route, body):
        """Asks for a stream or the whole, and returns the first choice's text, where it ended."""
        count = body.get("n", len(body["prompt"]) if isinstance(body.get("prompt"), list) else 1)
        if self.random.random() < 0.5:
            objects, is_done = events(self.ask(route, {**body, "stream": True}))
            expect(is_done, "a stream without [DONE]")
            choices = [choice for each in objects for choice in each["choices"]]
        else:
            answer = whole(self.ask(route, body))
            expect(answer["usage"]["prompt_tokens"] > 0, f"no usage in {answer}")
            choices = answer["choices"]
        ends = [choice for choice in choices if choice.get("finish_reason") in ("stop", "length")]
        expect(len(ends) == count, f"{len(ends)} ends of {count}: {choices}")
        pieces = [choice.get("text") or (choice.get("delta") or choice.get("message") or {}).get(
            "content") or "" for choice in choices if choice["index"] == 0]
        return "".join(pieces) if ends[0]["finish_reason"] == "stop" else None

    def responses(self, **more):
        body = {"input": self.prompt(), **self.sampling("max_output_tokens"), **more}
        if self.random.random() < 0.5:
            objects, _ = events(self.ask("/v1/responses", {**body, "stream": True}))
            answer = objects[-1].get("response", {})
            expect(objects[-1]["type"] == "response." + answer.get("status", ""), f"{objects[-1]}")
        else:
            answer = whole(self.ask("/v1/responses", body))
        expect(answer.get("status") in ("completed", "incomplete"), f"{answer}")

    def anthropic(self, **more):
        body = {"messages": [{"role": "user", "content": self.prompt()}], **self.sampling(), **more}
        if self.random.random() < 0.5:
            objects, _ = events(self.ask("/v1/messages", {**body, "stream": True}))
            expect(objects[-1]["type"] == "message_stop", f"ends with {objects[-1]}")
        else:
            answer = whole(self.ask("/v1/messages", body))
            expect(answer["stop_reason"] in ("end_turn", "max_tokens"), f"{answer}")

    def ollama(self, **more):
        options = self.sampling("num_predict")
        body = {"model": options.pop("model"), "options": options,
                "stream": self.random.random() < 0.5, **more}
        if self.random.random() < 0.5 or "format" in more:
            body["messages"] = [{"role": "user", "content": self.prompt()}]
            answer = self.ask("/api/chat", body)
        else:
            answer = self.ask("/api/generate", {"prompt": self.prompt(), **body})
        right(*answer)
        lines = [json.loads(line) for line in answer[2].split("\n") if line]
        sound(lines)
        last = lines[-1]
        expect(last["done"] and last["done_reason"] in ("stop", "length"), f"{last}")
        if "format" in more and last["done_reason"] == "stop":
            self.check_schema("".join(line["message"]["content"] for line in lines))

    def unload(self):
        """The model goes when nobody uses it any more, and the next request loads it."""
        answer = whole(self.ask("/api/generate", {"model": self.model, "keep_alive": 0}))
        expect(answer["done_reason"] == "unload", f"{answer}")

    def embeddings(self):
        texts = [self.text(30) for _ in range(self.random.randint(1, 4))]
        if self.random.random() < 0.3:
            answer = whole(self.ask("/api/embed", {"model": self.model, "input": texts}))
            vectors = answer["embeddings"]
        else:
            coding = self.random.choice(["float", "base64"])
            body = {"model": self.model, "input": texts, "encoding_format": coding}
            answer = whole(self.ask("/v1/embeddings", body))
            vectors = [each["embedding"] for each in answer["data"]]
            if coding == "base64":
                bytes_of = [base64.b64decode(vector) for vector in vectors]
                vectors = [struct.unpack(f"<{len(each) // 4}f", each) for each in bytes_of]
        expect(len(vectors) == len(texts), f"{len(vectors)} vectors of {len(texts)}")
        for vector in vectors:
            length = math.sqrt(sum(number * number for number in vector))
            expect(abs(length - 1) < 1e-3, f"a vector of length {length}")

    def structured(self):
        form = {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}
        more = {"type": "json_schema", "name": "a", "schema": SCHEMA}
        kind = self.random.randrange(5)
        if kind == 0:
            text = self.chat(response_format=form, max_tokens=100)
            self.check_schema(text) if text is not None else None
        elif kind == 1:
            self.ollama(format=SCHEMA)
        elif kind == 2:
            self.responses(text={"format": more})
        elif kind == 3:
            self.anthropic(output_config={"format": {"type": "json_schema", "schema": SCHEMA}})
        else:
            text = self.openai("/v1/completions", {
                "prompt": self.prompt(), **self.sampling(),
                "grammar": 'root ::= "yes" | "no" [a-c]{2,4}'})
            expect(text in (None, "yes") or text.startswith("no"), f"no grammar has {text}")

    def check_schema(self, text):
        value = json.loads(text)
        expect(set(value) == {"name", "count", "tags"} and isinstance(value["name"], str)
               and 0 <= value["count"] <= 99 and len(value["tags"]) <= 3
               and set(value["tags"]) <= {"one", "two", "three"}, f"no schema has {text}")

    def tokens(self):
        text = self.text(60)
        tokens = whole(self.ask("/tokenize", {"model": self.model, "content": text}))["tokens"]
        again = whole(self.ask("/detokenize", {"model": self.model, "tokens": tokens}))["content"]
        expect(again.removeprefix(" ") == text.removeprefix(" "), f"{text!r} became {again!r}")
        messages = {"model": self.model, "messages": [{"role": "user", "content": text}]}
        expect(text.strip() in whole(self.ask("/apply-template", messages))["prompt"], text)
        count = whole(self.ask("/v1/messages/count_tokens", messages))["input_tokens"]
        expect(count > 0, "no tokens")

    def look(self):
        """Several requests over one connection."""
        connection = Connection(self.path)
        routes = ["/health", "/metrics", "/props", "/slots", "/v1/models", "/api/tags", "/api/ps",
                  "/api/version", "/", f"/v1/models/{self.model}"]
        for route in self.random.sample(routes, 3):
            status, headers, text = connection.ask(route)
            # While a model is loading, /health says so.
            if route != "/health" or status != 503:
                right(status, headers, text)
        connection.close()

    # Those that nobody wants.

    def malformed(self):
        name, request = self.random.choice(self.bad)
        code = fire.status(self.daemon.exchange(request, ANSWER_SECONDS))
        fine = code == 0 or 400 <= code < 500 or code in (503, 505) or name in fire.TAKEN
        expect(fine, f"{name} is answered with {code}")
        return "refused"

    def too_long(self):
        body = {"model": self.model, "prompt": "word " * self.random.randint(5000, 50_000)}
        status, headers, text = self.ask("/v1/completions", body)
        if status in (429, 503):
            right(status, headers, text)
        expect(status == 400 and "context_length_exceeded" in text, f"{status}: {text}")
        return "refused"

    def endless(self):
        return self.daemon.question(stream=True, max_tokens=-1, temperature=9, top_k=0,
                                    ignore_eos=True, prompt=self.prompt())

    def leave(self):
        """Goes away in the middle: of what it asks, of the queue, of the answer."""
        request = self.endless()
        with self.daemon.connect(ANSWER_SECONDS) as connection:
            if self.random.random() < 0.2:
                connection.sendall(request[:self.random.randrange(len(request))])
            else:
                connection.sendall(request)
                for _ in range(self.random.randint(0, 10)):
                    connection.recv(200)
            self.wait(self.random.random() * 0.2)
        return "left"

    def read_slowly(self):
        with self.daemon.connect(ANSWER_SECONDS) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            connection.sendall(self.endless())
            for _ in range(self.random.randint(10, 100)):
                if not connection.recv(64) or not self.is_open():
                    break
                self.wait(0.1)
        return "left"

    def idle(self):
        connections = [self.daemon.connect() for _ in range(self.random.randint(1, 3))]
        self.wait(self.random.random() * 5)
        for connection in connections:
            connection.close()
        return "left"

    def wait(self, seconds):
        end = time.monotonic() + seconds
        while self.is_open() and time.monotonic() < end:
            time.sleep(0.05)

    ACTIONS = {"chat": 10, "completion": 10, "responses": 8, "anthropic": 8, "ollama": 10,
               "embeddings": 4, "structured": 8, "tokens": 5, "look": 8, "malformed": 6,
               "too_long": 2, "leave": 8, "read_slowly": 3, "idle": 2, "unload": 1}

    def act(self, random):
        """Does something; returns what it was, what became of it, and what was wrong with it."""
        self.random = random
        name, = random.choices(list(self.ACTIONS), list(self.ACTIONS.values()))
        try:
            outcome = getattr(self, name)()
            return name, outcome if outcome in ("left", "refused") else "answered", None
        except Full:
            return name, "full", None
        except Broken as error:
            return name, "BROKEN", str(error)
        except Exception as error:  # Whatever else it is, no client should see it.
            return name, "BROKEN", f"{type(error).__name__}: {error}"
