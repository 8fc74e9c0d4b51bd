#!/usr/bin/env python3
"""Several requests at once through the service: how smoothly answers go on, and what is gained.

    several_requests.py PROGRAMS LIBRARY MODEL [--memory SIZE] [--rounds N] [--generate N]
                        [--long TOKENS] [--clients N] [--step-tokens N] [--cap COMMAND]
                        [--text]

PROGRAMS is the folder with sluiced and sluice, LIBRARY one with MODEL, imported. In each round a
fresh daemon, after one answer that loads the model:
  alone      --clients answers of --generate tokens, one after the other
  together   the same at once
  gaps       two answers of 4 × --generate tokens; a prompt of --long tokens (0: not) arrives in
             their middle, and gets an answer of 8 tokens. The longest gap between two tokens of an
             answer over the median gap of the same answers while nobody else was there.
  mixed      the time of those three at once over their times one after the other
--cap is put before the daemon's command, such as "capped.sh 1G --". Prints each round and medians,
and what each token read from flash and how many experts and neurons it had to read.
Prompts differ, are pseudo-random token numbers, and are not remembered from round to round; with
--text they are beginnings of English sentences, and answers are sampled at temperature 0.8: that is
what the router of a trained mixture is made for. Needs the standard library of Python.
"""
import argparse
import http.client
import json
import os
import random
import shlex
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time


TEXTS = [
    "The kernel of an operating system", "In a database, an index", "When the shell starts, it",
    "A regular expression is a pattern that", "To list all files in a directory, use",
    "The network interface was configured", "Memory that a program allocates", "A compiler turns"]


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=3600)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Answer(threading.Thread):
    """One streamed completion; `times` are those of its tokens."""

    def __init__(self, path, model, prompt, tokens):
        super().__init__()
        self.path, self.times, self.error, self.took = path, [], None, {}
        self.order = {
            "model": model, "prompt": prompt, "max_tokens": tokens, "temperature": 10, "seed": 5,
            "top_k": 0, "top_p": 1, "min_p": 0, "logprobs": 0, "stream": True,
            "sluice": {"statistics": True}}
        if isinstance(prompt, str):
            self.order |= {"temperature": 0.8, "ignore_eos": True}

    def run(self):
        self.began = time.monotonic()
        connection = Connection(self.path)
        connection.request(
            "POST", "/v1/completions", json.dumps(self.order),
            {"Content-Type": "application/json"})
        response = connection.getresponse()
        for line in response:
            if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
                continue
            event = json.loads(line[6:])
            if "error" in event:
                self.error = event["error"]
            elif "flash_bytes" in event.get("sluice", {}):
                self.took = event["sluice"]
            elif "sluice" in event:
                pass  # what is expected, before the first token
            elif event["choices"] and event["choices"][0].get("finish_reason") is None:
                self.times.append(time.monotonic())
        self.ended = time.monotonic()
        connection.close()

    def gaps(self, first=0.0, last=float("inf")):
        pairs = zip(self.times, self.times[1:])
        return [b - a for a, b in pairs if a >= first and b <= last]


class Daemon:
    def __init__(self, options, folder):
        self.options, self.asked, self.told = options, 0, []
        self.path, profile = folder + "/s.sock", folder + "/profile.toml"
        step = options.step_tokens or '"auto"'
        with open(profile, "w") as file:
            file.write(
                f'[memory]\nbudget = "{options.memory}"\n[kv]\nprefixes = "off"\n'
                f"[generation]\ncontext_tokens = {options.context}\nstep_tokens = {step}\n"
                f"[service]\nsessions_max = {options.clients}\n")
        command = shlex.split(options.cap) + [
            options.programs + "/sluiced", "--profile", profile, "--socket", self.path,
            "--library", options.library]
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(command, stdout=quiet, stderr=quiet)
        while not os.path.exists(self.path):
            time.sleep(0.05)

    def __enter__(self):
        self.together([(8, 4)])
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()

    def answers(self, sizes):
        def prompt(number, count):
            if self.options.text:
                return TEXTS[number % len(TEXTS)]
            return [random.randrange(100, 900) for _ in range(count)]

        return [
            Answer(self.path, self.options.model, prompt(number, count), tokens)
            for number, (count, tokens) in enumerate(sizes, self.asked)]

    def finish(self, answers):
        for answer in answers:
            answer.join()
            if answer.error:
                raise SystemExit(answer.error)
        return answers

    def together(self, sizes):
        start = time.monotonic()
        answers = self.answers(sizes)
        for answer in answers:
            answer.start()
        self.told += self.finish(answers)
        return time.monotonic() - start

    def apart(self, sizes):
        seconds = 0
        for number, size in enumerate(sizes):
            self.asked = number
            seconds += self.together([size])
        self.asked = 0
        return seconds

    def moved(self):
        """MiB from flash, and experts or neurons read, for each token since it was last asked."""
        told, self.told = self.told, []
        tokens = sum(answer.order["max_tokens"] for answer in told)
        flash = sum(answer.took.get("flash_bytes", 0) for answer in told)
        misses = sum(answer.took.get("bundle_misses", 0) for answer in told)
        return flash / tokens / 2**20, misses / tokens


def round_of(options):
    count, tokens = options.clients, options.generate
    row = {}
    with tempfile.TemporaryDirectory() as folder, Daemon(options, folder) as daemon:
        sizes = [(16, tokens)] * count
        daemon.moved()
        for name, run in (("alone", daemon.apart), ("together", daemon.together)):
            row[name] = count * tokens / run(sizes)
            row[f"MiB {name}"], row[f"misses {name}"] = daemon.moved()
        if options.long:
            pair = daemon.answers([(16, 4 * tokens)] * 2)
            for answer in pair:
                answer.start()
            while min(len(answer.times) for answer in pair) < tokens:
                time.sleep(0.01)
            late = daemon.answers([(options.long, 8)])[0]
            late.start()
            daemon.finish(pair + [late])
            before = [gap for answer in pair for gap in answer.gaps(last=late.began)]
            during = [gap for answer in pair for gap in answer.gaps(late.began - 1)]
            row["median gap"] = statistics.median(before)
            row["longest gap"] = max(during)
            row["first token of the prompt"] = late.times[0] - late.began
            whole = max(answer.ended for answer in pair + [late]) - pair[0].began
            apart = daemon.apart([(16, 4 * tokens)] * 2 + [(options.long, 8)])
            row["mixed"] = apart / whole
    return row


def main():
    parser = argparse.ArgumentParser()
    for name in ("programs", "library", "model"):
        parser.add_argument(name)
    parser.add_argument("--memory", default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--generate", type=int, default=48)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--long", type=int, default=2000)
    parser.add_argument("--context", type=int, default=4096)
    parser.add_argument("--step-tokens", type=int)
    parser.add_argument("--cap", default="")
    parser.add_argument("--text", action="store_true")
    options = parser.parse_args()
    rows = []
    for number in range(options.rounds):
        rows.append(round_of(options))
        told = ", ".join(f"{key} {value:.3f}" for key, value in rows[-1].items())
        print(f"{number + 1}: {told}", flush=True)
    medians = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
    print("medians: " + ", ".join(f"{key} {value:.3f}" for key, value in medians.items()))
    print(f"together over alone: {medians['together'] / medians['alone']:.2f}")
    if options.long:
        print(f"longest over median gap: {medians['longest gap'] / medians['median gap']:.2f}")
        print(f"one after another over mixed: {medians['mixed']:.2f}")


if __name__ == "__main__":
    main()
