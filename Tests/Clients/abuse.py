#!/usr/bin/env python3
"""Treats a daemon as its worst clients do, and says whether it held.

    abuse.py SOCKET PID MODEL [MODEL...]

Sends, over the Unix socket SOCKET: prompts of 1.9 MB (as JSON) of each kind of text to each model
by both routes; 20 connections that each pipeline 10 MB of requests and read nothing; 2,000
connections at once. After each, the daemon (process PID) must be alive, must answer a question with
the bytes it answered before, and its peak and present resident memory are printed. Exit status 1 if
anything failed. Needs Python's standard library only; the daemon's limit of descriptors and memory
are what its starter gave it, for instance:

    capped.sh 96M -- sluiced --memory 64M --socket S --library L
"""
import json
import os
import socket
import sys
import time

TEXT_BYTES = 1_900_000
PIPELINED_BYTES = 10 << 20
PIPELINING_CONNECTIONS = 20
CONNECTIONS_AT_ONCE = 2000
ANSWER_SECONDS_MAX = 300

KINDS = {
    "ab": "ab",
    "spaces": " ",
    "newlines": "\n",
    "one letter": "a",
    "words": "the quick brown fox ",
    "digits": "0123456789",
    "punctuation": "!?.,;",
    "CJK": "漢字仮名",
    "emoji": "🧑🏽‍🚒",
    "combining": "e\u0301",
    "special": "<|im_start|>",
    "bytes": "\u0001\u0002",
}


class Daemon:
    def __init__(self, path, pid):
        self.path, self.pid = path, pid
        self.failures = 0

    def connect(self, seconds=ANSWER_SECONDS_MAX):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(seconds)
        connection.connect(self.path)
        return connection

    def request(self, route, body):
        """Status and body of one POST, on a connection of its own."""
        data = json.dumps(body, ensure_ascii=False).encode()
        head = (
            f"POST {route} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        with self.connect() as connection:
            connection.sendall(head.encode() + data)
            answer = b""
            while piece := connection.recv(1 << 16):
                answer += piece
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), body

    def memory(self):
        """Peak and present resident bytes."""
        with open(f"/proc/{self.pid}/status") as status:
            rows = dict(line.split(":", 1) for line in status)
        return tuple(int(rows[name].split()[0]) << 10 for name in ("VmHWM", "VmRSS"))

    def greedy(self, model):
        """The text that the model continues a fixed prompt with."""
        status, body = self.request(
            "/v1/completions",
            {"model": model, "prompt": "What is", "temperature": 0, "max_tokens": 16},
        )
        return status, json.loads(body)["choices"][0]["text"] if status == 200 else body

    def report(self, what, isRight, note=""):
        peak, present = (size / (1 << 20) for size in self.memory())
        self.failures += not isRight
        print(
            f"{'ok  ' if isRight else 'FAIL'} {what:44} peak {peak:6.1f} MiB,"
            f" now {present:6.1f} MiB {note}",
            flush=True,
        )


def long_prompts(daemon, model, before):
    for name, unit in KINDS.items():
        text = unit * (TEXT_BYTES // len(json.dumps(unit, ensure_ascii=False)[1:-1].encode()))
        chat = {"messages": [{"role": "user", "content": text}]}
        for route, order in (
            ("/v1/chat/completions", chat),
            ("/v1/completions", {"prompt": text}),
        ):
            status, body = daemon.request(route, {"model": model, "max_tokens": 1, **order})
            code = json.loads(body)["error"]["code"] if status != 200 else None
            # A model without a template refuses a chat before it looks at the text.
            isRight = status == 400 and code in ("context_length_exceeded", "template_unsupported")
            isRight = isRight and daemon.greedy(model) == before
            daemon.report(f"{model}: {name}, {route}", isRight, f"{status} {code}")


def pipelined(daemon, model, before):
    """Requests that nobody reads the answers of."""
    request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    data = request * (PIPELINED_BYTES // len(request))
    connections = [daemon.connect() for _ in range(PIPELINING_CONNECTIONS)]
    sent = [0] * len(connections)
    for connection in connections:
        connection.setblocking(False)
    silentAt = time.monotonic()
    while time.monotonic() - silentAt < 3:
        for index, connection in enumerate(connections):
            try:
                sent[index] += connection.send(data[sent[index]:sent[index] + (1 << 16)])
                silentAt = time.monotonic()
            except (BlockingIOError, BrokenPipeError, ConnectionResetError):
                pass
        time.sleep(0.001)
    isRight = daemon.greedy(model) == before
    daemon.report("pipelined, unread, while open", isRight, f"{sum(sent)} bytes taken")
    for connection in connections:
        connection.close()
    time.sleep(2)
    daemon.report("pipelined, unread, after", daemon.greedy(model) == before)


def many_connections(daemon, model, before):
    """Each asks for its health at once; every one must get an answer of some kind, or wait."""
    answers = {"200": 0, "other": 0, "closed": 0, "refused": 0}
    connections = []
    for _ in range(CONNECTIONS_AT_ONCE):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(30)
        try:
            connection.connect(daemon.path)
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            connections.append(connection)
        except OSError:
            answers["refused"] += 1
    for connection in connections:
        try:
            head = connection.recv(64)
            status = head.split()[1].decode() if head else "closed"
        except OSError:
            status = "closed"
        answers[status if status in answers else "other"] += 1
    isRight = answers["closed"] == 0 and answers["refused"] == 0
    daemon.report("2,000 connections at once, open", isRight, json.dumps(answers))
    for connection in connections:
        connection.close()
    time.sleep(2)
    daemon.report("2,000 connections at once, after", daemon.greedy(model) == before)


def main():
    path, pid, models = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    daemon = Daemon(path, pid)
    for model in models:
        before = daemon.greedy(model)
        daemon.report(f"{model}: first answer", before[0] == 200)
        long_prompts(daemon, model, before)
    before = daemon.greedy(models[0])
    pipelined(daemon, models[0], before)
    many_connections(daemon, models[0], before)
    time.sleep(3)
    daemon.report("at the end", os.path.exists(f"/proc/{pid}"))
    sys.exit(1 if daemon.failures else 0)


if __name__ == "__main__":
    main()
