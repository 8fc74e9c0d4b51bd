#!/usr/bin/env python3
"""Time to the first token behind a prefix that was computed before: from memory, and from flash
after a restart and after kill -9.

    make build
    Benchmarks/prefix_time.py LIBRARY MODEL TEXT [--bytes 5900] [--memory 2G] [--runs 3]

TEXT is a file whose first bytes are the prefix. A line for each run: tokens of the prompt, those
that were remembered, milliseconds to the first token without waiting, and that as a share of the
first request's.
"""

import argparse
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class Daemon:
    def __init__(self, arguments, folder):
        self.model, self.socket = arguments.model, f"{folder}/sluice.sock"
        profile = pathlib.Path(folder, "profile.toml")
        profile.write_text(f'[memory]\nbudget = "{arguments.memory}"\n[kv]\nprefixes = "flash"\n')
        command = [ROOT / ".build/release/sluiced", "--profile", profile, "--socket", self.socket,
                   "--library", arguments.library]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while not os.path.exists(self.socket):
            if self.process.poll() is not None:
                sys.exit("sluiced ended")
            time.sleep(0.05)
        self.ask("Hello", 1)  # loads the model

    def ask(self, prompt, tokens=4):
        body = {"model": self.model, "prompt": prompt, "max_tokens": tokens, "temperature": 0,
                "sluice": {"statistics": True}}
        connection = Connection(self.socket)
        connection.request("POST", "/v1/completions", json.dumps(body),
                           {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        if "usage" not in answer:
            sys.exit(answer)
        usage, spent = answer["usage"], answer["sluice"]
        return (usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"],
                spent["time_to_first_token_ms"] - spent["queue_ms"])

    def end(self, how=signal.SIGTERM):
        time.sleep(3)  # what was remembered is written while nobody asks
        self.process.send_signal(how)
        self.process.wait()
        if os.path.exists(self.socket):
            os.remove(self.socket)


def run(arguments, prefix, folder):
    file = pathlib.Path(arguments.library, arguments.model + ".sluice.prefixes")
    file.unlink(missing_ok=True)
    daemon = Daemon(arguments, folder)
    first = daemon.ask(prefix + " What is first?")
    found = [("first", first), ("memory", daemon.ask(prefix + " And what is second, please?"))]
    daemon.end()
    daemon = Daemon(arguments, folder)
    found.append(("restart", daemon.ask(prefix + " And what is third, please?")))
    daemon.end(signal.SIGKILL)
    daemon = Daemon(arguments, folder)
    found.append(("kill -9", daemon.ask(prefix + " And what is fourth, please?")))
    daemon.end()
    for name, (tokens, cached, milliseconds) in found:
        share = milliseconds / first[2]
        print(f"{name:8} {tokens:6} tokens, {cached:6} cached, {milliseconds:9.1f} ms {share:7.3f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("library")
    parser.add_argument("model")
    parser.add_argument("text", type=pathlib.Path)
    parser.add_argument("--bytes", type=int, default=5900)
    parser.add_argument("--memory", default="2G")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    prefix = arguments.text.read_bytes()[: arguments.bytes].decode(errors="ignore")
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(arguments.runs):
            run(arguments, prefix, folder)


if __name__ == "__main__":
    main()
