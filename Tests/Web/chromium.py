"""A headless Chromium and one page in it, by the DevTools protocol over two pipes: no package
beside Python's own."""

import fcntl
import json
import os
import shutil
import signal
import tempfile
import time

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
# Long enough for a machine that runs other tests, too.
SECONDS_MAX = 300


def program():
    """The path of a Chromium, or nothing where there is none."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


def pipe():
    """Both ends, where a child's 3 and 4 are not in the way."""
    return [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in os.pipe()]


class Page:
    """An empty page. `problems` and `requests` are what it complained of, and whom it asked."""

    def __init__(self, path):
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.problems, self.requests = [], []
        self.number, self.session, self.left = 0, None, b""
        reading, self.writer = pipe()
        self.reader, writing = pipe()
        words = [path, "--headless", "--remote-debugging-pipe", "--disable-gpu", "--no-first-run",
                 "--disable-dev-shm-usage", f"--user-data-dir={self.folder.name}"]
        if os.geteuid() == 0:
            words.append("--no-sandbox")
        null = os.open(os.devnull, os.O_RDWR)
        moves = [(os.POSIX_SPAWN_DUP2, *move)
                 for move in ((null, 0), (null, 1), (null, 2), (reading, 3), (writing, 4))]
        self.process = os.posix_spawn(
            path, words, {**os.environ, "HOME": self.folder.name}, file_actions=moves,
            setpgroup=0)
        for end in (reading, writing, null):
            os.close(end)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self):
        os.killpg(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        os.close(self.writer)
        os.close(self.reader)
        self.folder.cleanup()

    def call(self, method, **parameters):
        """A command's result. What happened meanwhile is noted."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.writer, data):]
        while True:
            answer = self.receive()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self.note(answer.get("method"), answer.get("params", {}))

    def receive(self):
        while b"\0" not in self.left:
            data = os.read(self.reader, 1 << 16)
            if not data:
                raise RuntimeError("Chromium ended")
            self.left += data
        message, self.left = self.left.split(b"\0", 1)
        return json.loads(message)

    def note(self, event, about):
        if event == "Network.requestWillBeSent":
            self.requests.append(about["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            details = about["exceptionDetails"]
            thrown = details.get("exception", {}).get("description")
            self.problems.append(thrown or details["text"])
        elif event == "Log.entryAdded" and about["entry"]["level"] == "error":
            self.problems.append(f"{about['entry']['text']} {about['entry'].get('url', '')}")
        elif event == "Runtime.consoleAPICalled" and about["type"] == "error":
            self.problems.append(str([one.get("value") for one in about["args"]]))

    # What a user does, and sees.

    def open(self, address):
        self.call("Page.navigate", url=address)
        self.wait(f"location.href === {json.dumps(address)} && document.readyState === 'complete'")

    def ask(self, expression):
        """What an expression is in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, expression):
        """Until an expression is true."""
        end = time.monotonic() + SECONDS_MAX
        while not self.ask(expression):
            if time.monotonic() > end:
                raise RuntimeError(f"not within {SECONDS_MAX} s: {expression}")
            time.sleep(0.05)

    def text(self, selector):
        """What is shown of the last element that the selector finds."""
        return self.ask(f"[...document.querySelectorAll({json.dumps(selector)})].at(-1).innerText")

    def count(self, selector):
        return self.ask(f"document.querySelectorAll({json.dumps(selector)}).length")

    def shows(self, selector):
        """An expression that is true where the element can be seen."""
        return f"document.querySelector({json.dumps(selector)})?.getClientRects().length > 0"

    def click(self, selector):
        self.ask(f"document.querySelector({json.dumps(selector)}).click()")

    def type(self, selector, text, key):
        """Writes into a field, and then presses Enter or Tab."""
        name = json.dumps(selector)
        self.ask(f"document.querySelector({name}).focus(); document.querySelector({name}).select()")
        if text:
            self.call("Input.insertText", text=text)
        code, wrote = {"Enter": (13, "\r"), "Tab": (9, "")}[key]
        for kind in ("keyDown", "keyUp"):
            pressed = {"text": wrote} if wrote and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key,
                      windowsVirtualKeyCode=code, **pressed)
