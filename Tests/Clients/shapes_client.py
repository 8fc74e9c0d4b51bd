#!/usr/bin/env python3
"""Sends a running daemon the requests that other people's programs make, as they write them.

    shapes_client.py SOCKET MODEL [--no-tools] [--table]

shapes.json has them: for each the client, what it does with it, route, headers, body, and what the
answer has to be. MODEL's name is put in; --no-tools leaves out those for which a model has to know
tools. The bodies are written from the clients' sources and documentation, with short answers asked
for. Python's standard library only. Prints a line for each, or a table; the exit status is 1 when
an answer was another.
"""

import argparse
import http.client
import json
import pathlib
import socket
import sys

from client_checks import check, ending


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=600)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(600)
        self.sock.connect(self.path)


def ask(path, shape, model):
    """Status, content type, and text of the answer."""
    connection = Connection(path)
    body = shape.get("body")
    if body is None:
        connection.request("GET", shape["route"], headers=shape["headers"])
    else:
        named = {"model": model, **body}
        if body.get("name") == "MODEL":
            named = {**body, "name": model}
        data = json.dumps(named)
        connection.request(
            "POST", shape["route"], data, {"Content-Type": "application/json", **shape["headers"]})
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, response.getheader("Content-Type"), text


def problem(shape, status, kind, text):
    """What is wrong with an answer; nothing where it is right."""
    if status != shape["status"]:
        return f"status {status}: {text[:300]}"
    for part in shape["contains"]:
        if part not in text:
            return f"no {part} in {text[:600]}"
    if status != 200:
        return ""
    is_stream = shape.get("body", {}).get("stream")
    if kind.startswith("application/json") != (not is_stream):
        return f"is {kind}"
    lines = [line.removeprefix("data: ") for line in text.split("\n") if line]
    for line in lines:
        if not line.startswith((":", "[DONE]")):
            json.loads(line)
    return ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("socket")
    parser.add_argument("model")
    parser.add_argument("--no-tools", action="store_true")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    shapes = json.loads(pathlib.Path(__file__).with_name("shapes.json").read_text())
    if options.table:
        print("| client | does | route | is answered |\n|---|---|---|---|")
    for shape in shapes:
        if options.no_tools and shape.get("tools"):
            continue
        status, kind, text = ask(options.socket, shape, options.model)
        what = problem(shape, status, kind, text)
        if options.table:
            answer = "yes" if status == 200 else f"no, {status}: `{shape['contains'][0]}`"
            print(f"| {shape['client']} | {shape['does']} | `{shape['route']}` | "
                  f"{'WRONG: ' + what if what else answer} |")
        else:
            check(f"{shape['client']}, {shape['does']}", not what, what)
    return 0 if options.table else ending()


sys.exit(main())
