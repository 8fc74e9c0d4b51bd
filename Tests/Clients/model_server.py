#!/usr/bin/env python3
"""Serves files over HTTP as well as the worst servers and networks do.

    model_server.py FOLDER LOG

Prints the port. The first component of a path says how the file behind it is served, the rest is
its name in FOLDER; LOG gets a line for each request: method of serving, name, first byte asked for,
bytes sent. Methods, joined by "+" where several are meant:

    plain     as it should be          cut N     each connection ends after N bytes
    norange   ignores ranges           stall N   nothing comes after N bytes, but stays connected
    long N    says N bytes too many    short N   says N too few
    chunked   says no length           busy N    503 for the first N requests
    later N   429 for the first request, which asks to wait N seconds
    notag     says no ETag
    hub       redirects to plain, with the SHA-256 of the file, as a hub does; needs the token t
    wrong     as hub, with another SHA-256
    changes   another ETag each time   shifted   answers a range from one byte later
    html      a page in place of it    closed    403
    none      404                      loop      redirects to itself
    silent    accepts, and says nothing       slow N    N bytes every 10 ms

Python's standard library only.
"""
import hashlib
import http.server
import os
import re
import sys
import threading
import time
import urllib.parse

FOLDER, LOG = sys.argv[1:3]
PIECE = 1 << 16
STALL_SECONDS = 60
lock = threading.Lock()
requests = {}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        words, _, name = urllib.parse.unquote(self.path.lstrip("/")).partition("/")
        name = name.split("?")[0]
        self.name = name.rsplit("/", 1)[-1]
        self.methods = {}
        for word in words.split("+"):
            match = re.fullmatch(r"([a-z]+)(\d*)", word)
            self.methods[match[1]] = int(match[2] or 0)
        with lock:
            self.number = requests[self.path] = requests.get(self.path, 0) + 1
        self.sent = self.first = 0
        self.close_connection = True
        try:
            self.answer()
        except (BrokenPipeError, ConnectionResetError):
            pass
        with lock, open(LOG, "a") as log:
            print(words, self.name, self.first, self.sent, file=log, flush=True)

    def head(self, status, headers):
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        # Without it curl may take the connection for the next request while it is closed.
        self.send_header("Connection", "close")
        self.end_headers()

    def refuse(self, status):
        self.head(status, {"Content-Length": "0"})

    def answer(self):
        methods = self.methods
        if "silent" in methods:
            return time.sleep(STALL_SECONDS)
        if "none" in methods:
            return self.refuse(404)
        if "closed" in methods:
            return self.refuse(403)
        if self.number <= methods.get("busy", 0):
            return self.refuse(503)
        if "later" in methods and self.number == 1:
            return self.head(429, {"Retry-After": methods["later"], "Content-Length": "0"})
        if "loop" in methods:
            return self.head(302, {"Location": self.path, "Content-Length": "0"})
        if "html" in methods:
            page = b"<!doctype html><title>Log in</title>"
            self.head(200, {"Content-Length": len(page)})
            return self.wfile.write(page)
        try:
            with open(os.path.join(FOLDER, self.name), "rb") as file:
                data = file.read()
        except FileNotFoundError:
            return self.refuse(404)
        if "hub" in methods or "wrong" in methods:
            return self.redirect(data)
        self.send(data)

    def redirect(self, data):
        if self.headers.get("Authorization") != "Bearer t":
            return self.refuse(401)
        digest = hashlib.sha256(data).hexdigest()
        if "wrong" in self.methods:
            digest = digest[::-1]
        rest = [f"{k}{v or ''}" for k, v in self.methods.items() if k not in ("hub", "wrong")]
        self.head(302, {
            "Location": f"/{'+'.join(rest) or 'plain'}/{self.name}", "Content-Length": "0",
            "X-Linked-ETag": f'"{digest}"', "X-Linked-Size": len(data)})

    def send(self, data):
        methods = self.methods
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        headers = {"ETag": f'"{self.number if "changes" in methods else 1}"'}
        if "notag" in methods:
            headers = {}
        status, total = 200, len(data) + methods.get("long", 0) - methods.get("short", 0)
        if asked and "norange" not in methods:
            self.first = int(asked[1]) + ("shifted" in methods)
            if self.first >= total:
                return self.head(416, {
                    "Content-Range": f"bytes */{total}", "Content-Length": "0"})
            status = 206
            headers["Content-Range"] = f"bytes {self.first}-{total - 1}/{total}"
        body = data[self.first:total]
        if "chunked" in methods:
            headers["Transfer-Encoding"] = "chunked"
        else:
            headers["Content-Length"] = total - self.first
        self.head(status, headers)
        most = min(methods.get(k, len(body)) for k in ("cut", "stall"))
        while self.sent < min(most, len(body)):
            piece = body[self.sent:min(self.sent + methods.get("slow", PIECE), most)]
            if "slow" in methods:
                time.sleep(0.01)
            if "chunked" in methods:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            else:
                self.wfile.write(piece)
            self.sent += len(piece)
        if "chunked" in methods and most >= len(body):
            self.wfile.write(b"0\r\n\r\n")
        if "stall" in methods and most < len(body):
            self.wfile.flush()
            time.sleep(STALL_SECONDS)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
print(server.server_port, flush=True)
server.serve_forever()
