#!/usr/bin/env python3
"""Puts a daemon under fire, and says whether it is the same afterwards.

    fire.py SOCKET PID MODEL [--short] [--load]

Over the Unix socket SOCKET: connections that do nothing, connections that only come and go, readers
of a byte at a time, requests that stop in the middle of their head or body, clients that leave in
the queue, while their prompt is computed and while they are answered, and the malformed requests of
malformed(). Where something is answered, it is a status of 4xx, or 503; where nothing is, the
connection ends. After all of it: the same process PID, the same answer byte for byte, nobody
waiting, and resident memory within 5 % of what it was after a first, small round of the same.
--short does a tenth of each; --load then measures requests and tokens per second. Python's standard
library only. The exit status is 1 when anything failed. docs/FIRE.md has figures.
"""

import argparse
import json
import resource
import select
import socket
import sys
import threading
import time

ANSWER_SECONDS = 300
MEMORY_PART = 0.05
failures = 0


def check(name, passed, detail=""):
    global failures
    failures += not passed
    print(f"{'ok  ' if passed else 'FAIL'} {name}{f': {detail}' if detail != '' else ''}",
          flush=True)


class Daemon:
    def __init__(self, path, pid, model):
        self.path, self.pid, self.model = path, pid, model
        self.started = self.stat()

    def stat(self):
        """When the process started; nothing where there is none."""
        try:
            with open(f"/proc/{self.pid}/stat", encoding="utf-8") as file:
                return file.read().rsplit(")", 1)[1].split()[19]
        except OSError:
            return None

    def resident(self):
        with open(f"/proc/{self.pid}/status", encoding="utf-8") as file:
            fields = dict(line.split(":", 1) for line in file)
        return int(fields["VmRSS"].split()[0]) * 1024

    def connect(self, seconds=ANSWER_SECONDS):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(seconds)
        connection.connect(self.path)
        return connection

    @staticmethod
    def post(route, body):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = (f"POST {route} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                f"Connection: close\r\nContent-Length: {len(data)}\r\n\r\n")
        return head.encode() + data

    def question(self, **more):
        return self.post("/v1/completions", {
            "model": self.model, "prompt": "What is", "temperature": 0, "max_tokens": 8, **more})

    def exchange(self, request, seconds=ANSWER_SECONDS):
        """All that is answered until the connection ends; nothing where it ends at once."""
        with self.connect(seconds) as connection:
            try:
                connection.sendall(request)
            except OSError:
                pass  # It may have been answered before all was sent.
            answer = b""
            try:
                while data := connection.recv(1 << 16):
                    answer += data
            except ConnectionError:
                pass
            return answer

    def answer(self):
        """The answer to a fixed question, without what differs each time."""
        whole = self.exchange(self.question())
        body = json.loads(whole.split(b"\r\n\r\n", 1)[1])
        return whole.split(b" ", 2)[1] + json.dumps(body.get("choices", body)).encode()

    def get(self, route, seconds=ANSWER_SECONDS):
        return self.exchange(
            f"GET {route} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode(), seconds)

    def quiet(self):
        """Waits until nobody is answered any more."""
        for _ in range(600):
            slots = json.loads(self.get("/slots").split(b"\r\n\r\n", 1)[1])
            if not any(slot["is_processing"] for slot in slots):
                return True
            time.sleep(0.1)
        return False


def is_readable(connection):
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


def status(answer):
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def health(daemon):
    """Whether it says how it is, and how soon: in a crowd it may say that there are too many."""
    start = time.monotonic()
    answer = daemon.get("/health", 30)
    return status(answer), time.monotonic() - start


def idle(daemon, scale):
    connections = []
    for _ in range(2000 // scale):
        try:
            connections.append(daemon.connect(30))
        except OSError:
            break
    _, seconds = health(daemon)
    ended = sum(is_readable(connection) for connection in connections)
    for connection in connections:
        connection.close()
    check("idle connections", len(connections) == 2000 // scale,
          f"{len(connections)} came, {ended} were told to go, /health took {seconds:.3f} s")


def come_and_go(daemon, scale):
    start = time.monotonic()
    for _ in range(5000 // scale):
        daemon.connect(30).close()
    code, _ = health(daemon)
    check("connect and close", code == 200,
          f"{5000 // scale} in {time.monotonic() - start:.1f} s, /health {code}")


def endless(daemon):
    return daemon.question(stream=True, max_tokens=-1, temperature=9, top_k=0, ignore_eos=True)


def slow_readers(daemon, scale):
    readers = []
    for _ in range(20 // min(scale, 4)):
        connection = daemon.connect()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.sendall(endless(daemon))
        readers.append(connection)
    for _ in range(20 // scale + 3):
        for connection in readers:
            if is_readable(connection):
                connection.recv(1)
        time.sleep(0.1)
    code, seconds = health(daemon)
    check("slow readers", code in (200, 429), f"{len(readers)}, /health {code} in {seconds:.3f} s")
    for connection in readers:
        connection.close()


def stalled(daemon, scale):
    pieces = [b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Le", b"G",
              daemon.post("/v1/completions", b" " * 1000)[:-900]]
    connections = []
    for index in range(60 // min(scale, 3)):
        connection = daemon.connect()
        connection.sendall(pieces[index % len(pieces)])
        connections.append(connection)
    code, seconds = health(daemon)
    check("stalled heads and bodies", code in (200, 429),
          f"{len(connections)}, /health {code} in {seconds:.3f} s")
    for connection in connections:
        connection.close()


def leavers(daemon, scale):
    for _ in range(60 // scale):
        connection = daemon.connect()
        connection.sendall(daemon.question(max_tokens=-1))
        connection.close()
    check("left in the queue", daemon.quiet())
    long = daemon.post("/v1/completions", {
        "model": daemon.model, "prompt": "one two three four five " * 60, "max_tokens": 400})
    for index in range(20 // min(scale, 4)):
        connection = daemon.connect()
        connection.sendall(long)
        time.sleep(0.01 * (index % 10))
        connection.close()
    check("left while the prompt was computed", daemon.quiet())
    for _ in range(20 // min(scale, 4)):
        connection = daemon.connect()
        connection.sendall(endless(daemon))
        connection.recv(1)
        connection.close()
    check("left while they were answered", daemon.quiet())


def malformed(daemon):
    """Requests, each with a name, that no client should send."""
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
    lots = b"".join(b"X-%d: y\r\n" % index for index in range(100_000))

    def chat(text):
        return daemon.post("/v1/chat/completions", text)

    def chatting(**fields):
        messages = [{"role": "user", "content": "u"}]
        return chat({"model": daemon.model, "messages": messages, "max_tokens": 2, **fields})

    deep = b"[" * 100_000
    schema = {"$ref": "#/properties/a", "properties": {"a": {"$ref": "#"}}}
    return {
        "garbage": b"\x00\xff\x16\x03\x01" * 200 + b"\r\n\r\n",
        "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "two lengths": head + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
        "a length and chunks":
            head + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "a chunk's size": head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        "a length below 0": head + b"Content-Length: -1\r\n\r\n",
        "a length of 2^64": head + b"Content-Length: 18446744073709551616\r\n\r\n",
        "a body of 100 MB": head + b"Content-Length: 104857600\r\n\r\n" + b" " * 104857600,
        "a header of 1 MB": head + b"X: " + b"y" * (1 << 20) + b"\r\n\r\n",
        "100,000 headers": head + lots + b"\r\n",
        "a path of 1 MB": b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        "an unknown coding": head + b"Content-Encoding: br\r\nContent-Length: 2\r\n\r\n{}",
        "damaged zstd":
            head + b"Content-Encoding: zstd\r\nContent-Length: 4\r\n\r\n\x28\xb5\x2f\xfd",
        "no JSON": chat(b"{"),
        "an empty body": chat(b""),
        "deep lists": chat(b'{"messages":' + deep + b"}"),
        "deep objects": chat(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
        "invalid UTF-8": chat(b'{"messages":[{"role":"user","content":"\xff\xfe\xc3"}]}'),
        "half a surrogate": chat(b'{"messages":[{"role":"user","content":"\\ud800"}]}'),
        "a large number": chat(b'{"messages":[],"temperature":1e999}'),
        "no number": chat(b'{"messages":[],"temperature":NaN}'),
        "less than none": chatting(max_tokens=-5),
        "a million stop strings": chatting(stop=["x"] * 1_000_000),
        "a million messages": chat(
            b'{"messages":[' + b",".join([b'{"role":"user","content":"u"}'] * 100_000) + b"]}"),
        "no messages": chatting(messages=[]),
        "wrong roles": chatting(messages=[{"role": 5, "content": []}]),
        "2^63 samples": chatting(n=1 << 63),
        "a schema that ends nowhere": chatting(
            response_format={"type": "json_schema", "json_schema": {"schema": schema}}),
        "a deep grammar": chatting(grammar="root ::= " + "(" * 50_000),
        "a grammar that begins with itself": chatting(grammar="root ::= root"),
        "a pattern": chatting(json_schema={"type": "string", "pattern": "^(a|a)*{99999}$"}),
        "a deep template argument": chat(
            b'{"messages":[{"role":"user","content":"u"}],"chat_template_kwargs":' + deep + b"}"),
        "no model": chatting(model="../../etc/passwd"),
        "a token of no vocabulary":
            daemon.post("/v1/completions", {"model": daemon.model, "prompt": [1 << 30]}),
        "an embedding of numbers": daemon.post("/v1/embeddings", {"input": [[[1]]]}),
        "100,000 texts":
            daemon.post("/v1/embeddings", {"model": daemon.model, "input": ["a"] * 100_000}),
    }


# What readers of JSON take for U+FFFD.
TAKEN = ["half a surrogate"]


def malformations(daemon):
    for name, request in malformed(daemon).items():
        code = status(daemon.exchange(request))
        right = code == 0 or 400 <= code < 500 or code in (503, 505) or name in TAKEN
        check(f"malformed: {name}", right and (code != 0 or daemon.stat() == daemon.started), code)


def round_of(daemon, scale):
    for attack in [idle, come_and_go, slow_readers, stalled, leavers]:
        attack(daemon, scale)
        check("it is there", daemon.stat() == daemon.started)
        daemon.quiet()
    malformations(daemon)


def load(daemon):
    """What it does when it is busy: figures, no checks."""
    request = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    with daemon.connect() as connection:
        start, count = time.monotonic(), 0
        while time.monotonic() - start < 3:
            connection.sendall(request)
            connection.recv(1 << 16)
            count += 1
    print(f"/health, one after the other: {count / 3:.0f} requests/s")
    for clients in [1, 4, 16]:
        counts = [0] * clients

        def ask(index, counts=counts):
            for _ in range(4):
                answer = daemon.exchange(daemon.question(max_tokens=128, ignore_eos=True))
                body = json.loads(answer.split(b"\r\n\r\n", 1)[1])
                counts[index] += body.get("usage", {}).get("completion_tokens", 0)

        start = time.monotonic()
        threads = [threading.Thread(target=ask, args=(index,)) for index in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(f"{clients} clients: {sum(counts) / (time.monotonic() - start):.1f} tokens/s")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("socket")
    parser.add_argument("pid", type=int)
    parser.add_argument("model")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--load", action="store_true")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 8192), most))
    daemon = Daemon(options.socket, options.pid, options.model)
    scale = 10 if options.short else 1
    before = daemon.answer()
    check("a first answer", before.startswith(b"200"), before[:60])
    # What libraries and pools keep once they were used, they keep.
    round_of(daemon, 10)
    daemon.answer()
    first = daemon.resident()
    round_of(daemon, scale)
    check("the same answer", daemon.answer() == before)
    time.sleep(0 if options.short else 2)
    last = daemon.resident()
    check("the same process", daemon.stat() == daemon.started)
    check("the same memory", last <= first * (1 + MEMORY_PART),
          f"{first / 2**20:.1f} MiB before, {last / 2**20:.1f} after")
    if options.load:
        load(daemon)
    print(f"{failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
