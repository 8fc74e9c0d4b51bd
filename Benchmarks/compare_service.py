#!/usr/bin/env python3
"""A model through the service and by `sluice bench`, in turns: does the service reach its speed?

    compare_service.py PROGRAMS LIBRARY MODEL --memory SIZE [--sparse MODE] [--text FILE]
                       [--state FOLDER] [--rounds N] [--generate N]

PROGRAMS is the folder with sluiced and sluice, LIBRARY one with MODEL, imported and, for predicted
neurons, calibrated. The service continues the beginning of FILE with noise of one seed, which
hardly ever ends by itself, and bench feeds as many pseudo-random tokens: alike, not the same, so
the bytes that each read for a token stand beside its speed (the service's include those of the
prompt). Of its memory bench keeps as much for clients as the service does (--service). Run it under
a cap and a throttle, for instance

    capped.sh 1G --read-bps 200M -- compare_service.py ...

Prints each round, and the medians with their ratio. Needs Python's standard library and curl.
"""
import argparse
import json
import os
import signal
import statistics
import subprocess
import tempfile
import time

PROMPT_BYTES = 260


def request(socket, path, body=None):
    command = ["curl", "--silent", "--unix-socket", socket, "http://localhost" + path]
    if body is not None:
        command += ["--data", json.dumps(body)]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


class Comparison:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.prompt = open(options.text, errors="ignore").read()[:PROMPT_BYTES]
        self.environment = dict(os.environ, XDG_STATE_HOME=options.state or folder)

    def service(self):
        """Tokens a second of three answers, the text, and how the model is read."""
        socket, profile = self.folder + "/s.sock", self.folder + "/profile.toml"
        with open(profile, "w") as file:
            file.write(
                f'[memory]\nbudget = "{self.options.memory}"\n'
                f'[weights]\nsparse = "{self.options.sparse}"\n'
                "[generation]\ncontext_tokens = 512\n")
        command = [self.options.programs + "/sluiced", "--profile", profile, "--socket", socket,
                   "--library", self.options.library]
        daemon = subprocess.Popen(command, env=self.environment, stderr=subprocess.DEVNULL)
        while not os.path.exists(socket):
            time.sleep(0.05)
        order = {"model": self.options.model, "prompt": self.prompt, "temperature": 10, "seed": 5,
                 "top_k": 0, "top_p": 1, "min_p": 0, "max_tokens": self.options.generate,
                 "sluice": {"statistics": True}}
        answers = [request(socket, "/v1/completions", order) for _ in range(3)]
        model = request(socket, "/v1/models/" + self.options.model)["sluice"]
        daemon.send_signal(signal.SIGTERM)
        daemon.wait()
        return answers, model

    def bench(self, answer):
        usage = answer["usage"]
        command = [
            self.options.programs + "/sluice", "bench",
            f"{self.options.library}/{self.options.model}.sluice", "--memory",
            self.options.memory, "--service", "--sparse", self.options.sparse,
            "--context", "512", "--prompt", str(usage["prompt_tokens"]), "--generate",
            str(usage["completion_tokens"]), "--runs", "3", "--warm", "--json"]
        found = subprocess.run(
            command, capture_output=True, check=True, env=self.environment).stdout
        return json.loads(found)


def main():
    parser = argparse.ArgumentParser()
    for name in ("programs", "library", "model"):
        parser.add_argument(name)
    parser.add_argument("--memory", required=True)
    parser.add_argument("--sparse", default="auto")
    parser.add_argument("--text", default="README.md")
    parser.add_argument("--state", help="where measurements are kept, as XDG_STATE_HOME")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--generate", type=int, default=192)
    options = parser.parse_args()
    served, benched = [], []
    with tempfile.TemporaryDirectory() as folder:
        comparison = Comparison(options, folder)
        for number in range(options.rounds):
            answers, model = comparison.service()
            speeds = [answer["timings"]["predicted_per_second"] for answer in answers]
            served.append(statistics.median(speeds))
            found = comparison.bench(answers[-1])
            benched.append(found["generated_tokens_per_second"])
            tokens = answers[-1]["usage"]["completion_tokens"]
            megabytes = answers[-1]["sluice"]["flash_bytes"] / tokens / 1e6
            print(
                f"{number + 1}: service {served[-1]:.2f} tokens/s ({model['reads']}, {tokens}"
                f" tokens, {megabytes:.2f} MB each), bench {benched[-1]:.2f}"
                f" ({found['flash_bytes_per_generated_token'] / 1e6:.2f} MB each)", flush=True)
    ratio = statistics.median(served) / statistics.median(benched)
    print(
        f"medians: service {statistics.median(served):.2f},"
        f" bench {statistics.median(benched):.2f}, ratio {ratio:.3f}")


if __name__ == "__main__":
    main()
