"""What fault tests share: the built programs with a library of their own, small full drives, and
questions whose answers are known. Python's standard library only."""

import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "Fire"))
import fire  # noqa: E402

PROMPTS = ["What is curl?", "List files by size", "Explain grep -r", "How to unpack a tar archive"]


class Stage:
    """Folders and programs of one test."""

    def __init__(self, programs, model, other, folder, random):
        self.programs = pathlib.Path(programs).absolute()
        self.model, self.other = pathlib.Path(model).absolute(), pathlib.Path(other).absolute()
        self.folder, self.random = pathlib.Path(folder).absolute(), random
        shutil.rmtree(self.folder, ignore_errors=True)
        self.library = self.folder / "library"
        self.library.mkdir(parents=True)
        self.sluice("import", self.model, "--name", "model")
        self.packed = self.library / "model.sluice"

    def sluice(self, *words, library=None, status=0, state="state", **more):
        """Runs the command; its standard error when it ended as it should."""
        environment = {**os.environ, "SLUICE_LIBRARY": str(library or self.library),
                       "XDG_STATE_HOME": str(self.folder / state)}
        ended = subprocess.run(
            [self.programs / "sluice", *map(str, words)], env=environment, text=True,
            stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=False, **more)
        said = ended.stdout + ended.stderr
        statuses = status if isinstance(status, tuple) else (status,)
        fire.check(f"sluice {words[0]} ends with {statuses}", ended.returncode in statuses,
                   f"{ended.returncode} {said.strip()[-300:]}")
        return ended.stderr

    @contextlib.contextmanager
    def daemon(self, profile="", library=None, memory="26M", state="state", **environment):
        """The daemon, until the block ends; it has to end well then, unless it was killed."""
        daemon = Served(self, profile, library or self.library, memory, state, environment)
        try:
            daemon.wait_ready()
            yield daemon
            if daemon.process.poll() is None:
                daemon.process.terminate()
                status = daemon.process.wait(60)
                fire.check("it ends with 0", status == 0, daemon.log() if status else "")
        finally:
            daemon.process.kill()
            daemon.process.wait()


class Served(fire.Daemon):
    """A running daemon."""

    def __init__(self, stage, profile, library, memory, state, environment):
        self.begun = time.monotonic()
        self.log_path = stage.folder / "sluiced.log"
        path = stage.folder / "profile.toml"
        path.write_text(profile or "# nothing\n")
        self.arguments = [stage.programs / "sluiced", "--memory", memory, "--library", library,
                          "--socket", stage.folder / "socket", "--profile", path]
        self.environment = {**os.environ, "XDG_STATE_HOME": str(stage.folder / state),
                            **environment}
        with open(self.log_path, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                self.arguments, stderr=log, stdin=subprocess.DEVNULL, env=self.environment)
        super().__init__(str(stage.folder / "socket"), self.process.pid, "model")

    def log(self):
        return self.log_path.read_text(encoding="utf-8")

    def wait_ready(self):
        while time.monotonic() - self.begun < 60 and self.process.poll() is None:
            try:
                if fire.status(self.get("/health")) == 200:
                    return
            except OSError:
                time.sleep(0.005)
        raise SystemExit(f"sluiced is not ready: {self.log()}")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def ask(self, prompt=PROMPTS[0], **more):
        """Status, and what the model said, or what was wrong."""
        fields = {"prompt": prompt, "temperature": 0, "max_tokens": 8, "ignore_eos": True,
                  "model": "model", **more}
        try:
            answer = self.exchange(self.post("/v1/completions", fields))
        except OSError as error:
            return 0, str(error)
        if not answer:
            return 0, "nothing"
        body = json.loads(answer.split(b"\r\n\r\n", 1)[1])
        if "choices" in body:
            return fire.status(answer), "".join(each["text"] for each in body["choices"])
        return fire.status(answer), body["error"]["message"]

    def is_same(self):
        return self.stat() == self.started


class SmallDrive:
    """A file system of so many bytes in memory, which a file fills up to what is left free. Needs
    root; `is_there` says whether there is one."""

    def __init__(self, path, size):
        self.path = path
        path.mkdir(exist_ok=True)
        libc = ctypes.CDLL(None, use_errno=True)
        self.unmount = lambda: libc.umount2(str(path).encode(), 2)
        self.is_there = libc.mount(b"tmpfs", str(path).encode(), b"tmpfs", 0,
                                   f"size={size}".encode()) == 0

    def fill(self, free=0):
        """Leaves so many bytes."""
        path = self.path / "ballast"
        with open(path, "ab", buffering=0) as file:
            for piece in [1 << 20, 4096, 1]:
                with contextlib.suppress(OSError):
                    while file.write(b"\1" * piece) == piece:
                        pass
        os.truncate(path, max(0, path.stat().st_size - free))

    def empty(self):
        (self.path / "ballast").unlink(missing_ok=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.is_there:
            self.unmount()
