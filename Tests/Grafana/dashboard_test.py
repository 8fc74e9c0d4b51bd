#!/usr/bin/env python3
"""deploy/grafana/sluice.json and deploy/prometheus.yml against a daemon that runs.

    dashboard_test.py PROGRAMS MODEL.gguf [--scrape]

PROGRAMS is the folder with sluiced and sluice. The dashboard has to be well formed, and the script
has to make the very same; each name that an expression asks for has to be in /metrics of a daemon
that answered. With --scrape Prometheus itself asks such a daemon over TCP, by token, for half a
minute, and every expression has to have a result; promtool checks the names and the configuration.
Where there is no prometheus, or no promtool, that is said and left out.
"""
import argparse
import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "Tests/Clients"), str(ROOT / "scripts")]
from client_checks import bridge, check, ending  # noqa: E402
import grafana_dashboard  # noqa: E402

DASHBOARD = ROOT / "deploy/grafana/sluice.json"
CONFIGURATION = ROOT / "deploy/prometheus.yml"
TOKEN = "0123456789abcdef0123456789abcdef"
SCRAPE_SECONDS = 30
# llama-server's own names, and so its colons.
ALLOWED = re.compile(r"^llamacpp:\w+ metric names should not contain ':'$")


class Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self.path)


def ask(path, route, body=None):
    connection = Connection(path)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    connection.request("POST" if body else "GET", route, json.dumps(body) if body else None,
                       headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


@contextlib.contextmanager
def daemon(programs, model, folder):
    """A daemon that wants tokens; its socket."""
    environment = {**os.environ, "XDG_STATE_HOME": f"{folder}/state"}
    library, path = f"{folder}/models", f"{folder}/socket"
    words = [f"{programs}/sluice", "import", model, "--name", "model", "--library", library]
    subprocess.run(words, check=True, env=environment, stderr=subprocess.DEVNULL)
    (folder / "tokens").touch(0o600)
    (folder / "tokens").write_text(TOKEN + "\n")
    profile = folder / "profile.toml"
    profile.write_text(
        f'[access]\ntokens_required = true\ntokens_file = "{folder}/tokens"\n'
        "[generation]\nspeculate = 4\n")
    words = [f"{programs}/sluiced", "--memory", "64M", "--library", library, "--socket", path]
    with open(folder / "log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [*words, "--profile", str(profile)], env=environment, stderr=log, stdout=log)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError):
                if ask(path, "/health")[0] == 200:
                    break
            time.sleep(0.1)
        else:
            sys.exit("sluiced was not ready: " + (folder / "log").read_text()[-1000:])
        yield path
    finally:
        process.terminate()
        process.wait()


def use(path):
    """One of everything that is counted: an answer that came whole, a stream, errors."""
    chat = {"messages": [{"role": "user", "content": "What is curl?"}], "max_tokens": 12}
    for more in ({}, {"stream": True}, {"max_tokens": 0}):
        ask(path, "/v1/chat/completions", {**chat, **more})
    ask(path, "/v1/models")
    ask(path, "/nowhere")


def expressions(dashboard):
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


def names(expression):
    """The names of samples that an expression asks for."""
    return set(re.findall(r"\b(?:sluiced_|llamacpp:)\w+", re.sub(r"\{[^}]*\}", "", expression)))


def check_form(dashboard):
    check("the script makes the same", dashboard == grafana_dashboard.dashboard(),
          "run scripts/grafana_dashboard.py")
    check("it has a version of the schema", dashboard["schemaVersion"] >= 36)
    check("its number is Grafana's to give", dashboard.get("id") is None)
    panels = dashboard["panels"]
    numbers = [panel["id"] for panel in panels]
    check("panels have numbers of their own", len(set(numbers)) == len(numbers), numbers)
    drawn = [panel for panel in panels if panel["type"] != "row"]
    sources = {place["datasource"]["uid"]
               for panel in drawn for place in [panel, *panel["targets"]]}
    check("the source is chosen above", sources == {"${datasource}"}, sources)
    cells = [(x, y) for panel in panels for place in [panel["gridPos"]]
             for x in range(place["x"], place["x"] + place["w"])
             for y in range(place["y"], place["y"] + place["h"])]
    check("no panel is over another", len(set(cells)) == len(cells))
    check("panels are within the width", all(x < 24 for x, _ in cells))


def check_names(dashboard, metrics):
    samples = {re.match(r"[\w:]+", line)[0] for line in metrics.splitlines()
               if line and not line.startswith("#")}
    for title, expression in expressions(dashboard):
        wanted = names(expression)
        check(f"{title}: {', '.join(sorted(wanted))}", wanted and wanted <= samples,
              wanted - samples)


def check_by_promtool(metrics):
    result = subprocess.run(
        ["promtool", "check", "metrics"], input=metrics, text=True, capture_output=True)
    said = [line for line in result.stderr.splitlines() if not ALLOWED.match(line)]
    check("promtool has nothing against /metrics", not said, said)
    result = subprocess.run(
        ["promtool", "check", "config", CONFIGURATION], text=True, capture_output=True)
    check("promtool takes the configuration", result.returncode == 0, result.stderr)


def configured(folder, port, token):
    """The configuration that is shipped, with the token asked for, for another port, at once."""
    text = CONFIGURATION.read_text()
    for old, new in (("# authorization:", "authorization:"),
                     ("#   credentials_file: /etc/prometheus/sluice-token",
                      f"  credentials_file: {token}"),
                     ("11434", str(port)), ("15s", "1s")):
        if old not in text:
            sys.exit(f"{CONFIGURATION} has no '{old}'")
        text = text.replace(old, new)
    path = folder / "prometheus.yml"
    path.write_text(text)
    return path


def query(port, expression):
    for variable, value in (("$instance", ".*"), ("$__rate_interval", "20s")):
        expression = expression.replace(variable, value)
    words = urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?{words}") as answer:
        return json.load(answer)["data"]["result"]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def check_scrape(dashboard, path, folder):
    """Every expression has a result in a Prometheus that watches a daemon at work."""
    port = free_port()
    configuration = configured(folder, bridge(path), folder / "tokens")
    process = subprocess.Popen(
        ["prometheus", f"--config.file={configuration}", f"--storage.tsdb.path={folder}/tsdb",
         f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"])
    ends = threading.Event()

    def work():
        while not ends.wait(1):
            use(path)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        ends.wait(SCRAPE_SECONDS)
        up = query(port, "up")
        check("Prometheus gets its numbers", [float(one["value"][1]) for one in up] == [1.0], up)
        for title, expression in expressions(dashboard):
            found = query(port, expression)
            values = [float(one["value"][1]) for one in found]
            isNumber = any(value == value for value in values)
            check(f"{title}: {values[:4]}", isNumber, expression)
    finally:
        ends.set()
        worker.join()
        process.terminate()
        process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("programs")
    parser.add_argument("model")
    parser.add_argument("--scrape", action="store_true")
    options = parser.parse_args()
    dashboard = json.loads(DASHBOARD.read_text())
    check_form(dashboard)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        with daemon(options.programs, options.model, folder) as path:
            use(path)
            status, metrics = ask(path, "/metrics")
            check("/metrics answers", status == 200, metrics)
            check_names(dashboard, metrics)
            if options.scrape:
                if shutil.which("promtool"):
                    check_by_promtool(metrics)
                else:
                    print("skipped: promtool (no package prometheus)")
                if shutil.which("prometheus"):
                    check_scrape(dashboard, path, folder)
                else:
                    print("skipped: a real scrape (no package prometheus)")
    return ending()


if __name__ == "__main__":
    sys.exit(main())
