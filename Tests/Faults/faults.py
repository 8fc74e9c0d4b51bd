#!/usr/bin/env python3
"""Breaks what the built programs stand on, and looks whether they are right or say what failed.

    faults.py PROGRAMS MODEL OTHER FOLDER [--short] [--seed N] [--case NAME]...

PROGRAMS is the folder with sluice and sluiced, MODEL and OTHER are GGUF files, FOLDER is emptied.
The cases: reads (each read of an answer fails in every way, behind a preloaded library), files (the
model's file is cut, replaced, removed under load), full (every writer meets a full drive; needs
root for small file systems), kills (kill -9 at seeded moments under load, and in an import), second
(a second daemon at one socket), drain (SIGTERM under load). Answers are compared byte for byte.
Python's standard library, and a C compiler for reads. The exit status is 1 when anything failed.
docs/FAULTS.md has the figures.
"""

import argparse
import errno
import functools
import http.server
import mmap
import os
import pathlib
import pty
import random
import re
import select
import signal
import struct
import subprocess
import sys
import threading
import time

import stage as stages
from stage import PROMPTS, SmallDrive, fire

HERE = pathlib.Path(__file__).resolve().parent
check = fire.check


class Control:
    """Says which reads go wrong: the record of faulty_reads.c."""

    KINDS = {"error": 1, "short": 2, "end of file": 3, "flipped bit": 4, "stall": 5}

    def __init__(self, path):
        path.write_bytes(bytes(24))
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 24)

    def arm(self, kind=None, value=0, first=0, count=1):
        self.memory[:] = struct.pack("<6i", self.KINDS.get(kind, 0), value, first, count, 0, 0)

    @property
    def reads(self):
        return struct.unpack_from("<i", self.memory, 16)[0]

    @property
    def has_fired(self):
        return struct.unpack_from("<i", self.memory, 20)[0] > 0


# What a read does; whether the answer has to be right all the same.
READ_FAULTS = [
    ("error", errno.EINTR, True), ("error", errno.EAGAIN, True), ("short", 0, True),
    ("stall", 300, True), ("error", errno.EIO, False), ("error", errno.ENOMEM, False),
    ("end of file", 0, False), ("flipped bit", 0, False), ("stall", 6000, False)]


def reads(stage, is_short):
    """Each read of an answer, or some of them, fails in every way."""
    library = stage.folder / "faulty_reads.so"
    made = subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library,
                           HERE / "faulty_reads.c", "-ldl"], check=False)
    if made.returncode != 0:
        print("skipped: no C compiler")
        return
    control = Control(stage.folder / "control")
    profile = ('[flash]\nreader = "pread"\nverify = "always"\nread_seconds_max = 4\n'
               '[kv]\nprefixes = "off"\n')
    with stage.daemon(profile, LD_PRELOAD=str(library), FAULTY_FILE="model.sluice",
                      FAULTY_CONTROL=str(stage.folder / "control")) as daemon:
        right = daemon.ask()
        daemon.ask()
        control.arm()
        check("an answer", daemon.ask() == right and right[0] == 200, right)
        count = control.reads
        check("it reads", count > 20, f"{count} reads")
        for kind, value, is_passing in READ_FAULTS:
            places = range(count)
            most = 6 if is_short else 20
            if kind == "stall":
                most = (3 if is_short else 20) if is_passing else 1 if is_short else 5
            places = sorted(stage.random.sample(places, min(most, count)))
            failed = [broken_read(daemon, control, right, (kind, value, place), is_passing)
                      for place in places]
            name = errno.errorcode[value] if kind == "error" else f"{kind} {value or ''}".strip()
            # What fails while it is read ahead is read again when it is needed: of few, perhaps
            # all of them.
            check(f"reads: {name}", is_passing or is_short or any(failed),
                  f"{len(places)} reads, {sum(failed)} answers ended with an error")
        check("the same process", daemon.is_same())


def broken_read(daemon, control, right, fault, is_passing):
    """One answer with one read that fails; whether it ended with an error."""
    kind, value, place = fault
    control.arm(kind, value, place)
    answer = daemon.ask()
    control.arm()
    is_error = answer[0] == 500 and "model" in answer[1]
    if not (answer == right or is_error and not is_passing):
        check(f"{kind} {value} at read {place}", False, answer)
    while kind == "stall" and daemon.ask() != right:
        time.sleep(0.1)
    after = daemon.ask()
    if after != right:
        check(f"after {kind} {value} at read {place}", False, after)
    return is_error


class Load:
    """Clients that ask what is known, again and again, until the block ends."""

    def __init__(self, daemon, known, count=3):
        self.daemon, self.known, self.wrong, self.errors = daemon, known, [], 0
        self.answers, self.has_ended = 0, False
        self.threads = [threading.Thread(target=self.work, args=(index,), daemon=True)
                        for index in range(count)]

    def work(self, index):
        while not self.has_ended:
            prompt = PROMPTS[index % len(PROMPTS)]
            code, text = self.daemon.ask(prompt)
            if code == 200 and text not in self.known[prompt]:
                self.wrong.append((prompt, text))
            self.answers += code == 200
            self.errors += code != 200
            index += 1

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.has_ended = True
        for thread in self.threads:
            thread.join()


def files(stage, is_short):
    """The model's file is cut, replaced and removed while clients ask."""
    packed, keep = stage.packed, stage.folder / "keep"
    stage.sluice("import", stage.other, "--name", "other")
    other = stage.library / "other.sluice"
    whole = packed.read_bytes()
    with stage.daemon() as daemon:
        known = {prompt: {daemon.ask(prompt)[1]} for prompt in PROMPTS}
        own = {prompt: set(texts) for prompt, texts in known.items()}
        packed.rename(keep)
        os.link(other, packed)
        for prompt in PROMPTS:
            code, text = daemon.ask(prompt)
            known[prompt].add(text)
            check("the replaced file answers", code == 200 and text not in own[prompt], text)
        keep.replace(packed)

        def cut():
            os.truncate(packed, stage.random.randrange(len(whole)))

        def repair():
            packed.write_bytes(whole)

        def replace():
            packed.with_suffix(".new").write_bytes(other.read_bytes())
            packed.with_suffix(".new").replace(packed)

        def restore():
            packed.with_suffix(".new").write_bytes(whole)
            packed.with_suffix(".new").replace(packed)

        with Load(daemon, known) as load:
            for _ in range(2 if is_short else 25):
                for first, last in [(cut, repair), (cut, restore), (replace, restore),
                                    (packed.unlink, restore)]:
                    first()
                    time.sleep(stage.random.random() * 0.3)
                    last()
                    time.sleep(stage.random.random() * 0.3)
        check("under load all answers are right, or say what failed", not load.wrong,
              f"{load.answers} answers, {load.errors} errors, wrong: {load.wrong[:3]}")
        again = {prompt: {daemon.ask(prompt)[1]} for prompt in PROMPTS}
        check("afterwards they are as before", again == own)
        check("the same process", daemon.is_same())
    os.remove(other)


def full(stage, is_short):
    """Every writer meets a drive without room."""
    with SmallDrive(stage.folder / "drive", "64M") as drive:
        if not drive.is_there:
            print("skipped: no small file system without root")
            return
        full_import(stage, drive)
        full_library(stage, drive)
        full_state(stage, drive, is_short)


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder without a word."""

    def log_message(self, *_):
        pass


def full_import(stage, drive):
    """Import and pull say that there is no room, and leave nothing."""
    handler = functools.partial(Quiet, directory=str(stage.model.parent))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.handle_error = lambda *_: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/{stage.model.name}"
    for free in [0, 1 << 20, 12 << 20]:
        drive.fill(free)
        said = stage.sluice("import", stage.model, "--name", "model", library=drive.path,
                            status=(73, 74, 75))
        check("import says so", "room" in said or "No space" in said, said.strip()[-200:])
        left = sorted(os.listdir(drive.path))
        check("nothing is left of it", left == ["ballast"], left)
        said = stage.sluice("pull", address, "--name", "model", library=drive.path,
                            status=(73, 74, 75))
        check("pull says so", "room" in said or "No space" in said, said.strip()[-200:])
        drive.empty()
        # What was fetched may be kept to go on with; then it goes on.
        stage.sluice("pull", address, "--name", "model", library=drive.path)
        os.remove(drive.path / "model.sluice")
        left = sorted(os.listdir(drive.path))
        check("nothing is left of it", not left, left)
    server.shutdown()


def full_library(stage, drive):
    """Prefixes, popularity, suspended requests: what cannot be kept is not, and answers stay. (Cold
    keys and values need longer contexts: ColdContextTests.)"""
    packed = drive.path / "model.sluice"
    packed.write_bytes(stage.packed.read_bytes())
    drive.fill()
    long = [f"{prompt} " + "ls -l | grep curl; " * 25 for prompt in PROMPTS]
    with stage.daemon('[kv]\nprefixes = "off"\n') as daemon:
        right = [daemon.ask(prompt) for prompt in long]
    check("answers", all(code == 200 for code, _ in right), right)
    small = '[kv]\nmemory_bytes_max = "2M"\nprefixes = "off"\n[service]\nsessions_max = 4\n'
    for name, profile in [("prefixes", ""), ("few pages", small)]:
        with stage.daemon(profile, library=drive.path) as daemon:
            for _ in range(2):
                check(f"{name}: alone", [daemon.ask(prompt) for prompt in long] == right)
            results = [None] * len(long)

            def ask(index, results=results, daemon=daemon):
                results[index] = daemon.ask(long[index])

            together(ask, len(long))
            fine = all(result == expected or result[0] in (500, 503, 507)
                       for result, expected in zip(results, right))
            check(f"{name}: together", fine, [result for result in results if result[0] != 200])
            drive.empty()
            check(f"{name}: with room again", [daemon.ask(prompt) for prompt in long] == right)
            drive.fill()
            check(f"{name}: the same process", daemon.is_same())
            print("   ", "\n    ".join(line for line in daemon.log().splitlines()
                                      if "room" in line or "space" in line))
    drive.empty()
    packed.unlink()
    left = sorted(os.listdir(drive.path))
    check("beside the model are its own files alone",
          all(name.startswith("model.sluice.") for name in left), left)
    for name in left:
        (drive.path / name).unlink()


def together(body, count):
    threads = [threading.Thread(target=body, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def full_state(stage, drive, is_short):
    """What was measured, and a chat's history, have no room: it is said, and all else goes on."""
    drive.fill()
    with stage.daemon(state="drive") as daemon:
        check("a daemon that cannot keep what it measured answers", daemon.ask()[0] == 200)
    drive.fill()
    if not is_short:
        said = stage.sluice("tune", "--library", stage.library, state="drive",
                            status=(0, 73, 74, 75))
        check("tune says so", "room" in said or "No space" in said, said.strip()[-200:])
        drive.fill()
    said = chat(stage, ["What is curl?", "/bye"], drive.path)
    check("a chat without room for its history goes on", "history" in said and "curl" in said,
          said[-300:])
    drive.empty()


def chat(stage, lines, state):
    """What a chat on a terminal shows."""
    near, far = pty.openpty()
    process = subprocess.Popen(
        [stage.programs / "sluice", "run", "--local", "model", "--memory", "26M"],
        stdin=far, stdout=far, stderr=far, start_new_session=True,
        env={**os.environ, "SLUICE_LIBRARY": str(stage.library), "XDG_STATE_HOME": str(state)})
    os.close(far)
    shown, asked = b"", 0
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if not select.select([near], [], [], 0.3)[0]:
            # It waits for a line when the last that it shows is its mark.
            if shown[asked:].replace(b"\x1b[K", b"").rstrip().endswith(b">>>") and lines:
                asked = len(shown)
                os.write(near, (lines.pop(0) + "\r").encode())
            continue
        try:
            shown += os.read(near, 4096)
        except OSError:
            break
    process.kill()
    process.wait()
    os.close(near)
    return shown.decode(errors="replace")


def kills(stage, is_short):
    """kill -9 at seeded moments; the next daemon answers the same, and soon."""
    with stage.daemon('[kv]\nprefixes = "off"\n') as daemon:
        known = {prompt: {daemon.ask(prompt)[1]} for prompt in PROMPTS}
    before = set(os.listdir(stage.library))
    slowest = 0
    for attempt in range(4 if is_short else 60):
        with stage.daemon() as daemon:
            code, text = daemon.ask()
            seconds = time.monotonic() - daemon.begun
            slowest = max(slowest, seconds)
            if code != 200 or text not in known[PROMPTS[0]]:
                check(f"answers after kill {attempt}", False, (code, text))
            with Load(daemon, known) as load:
                # Answers end, prefixes are written, models load.
                time.sleep(stage.random.random() * (0.05 if attempt % 2 else 0.6))
                daemon.kill()
            if load.wrong or "damaged" in daemon.log():
                check(f"kill {attempt}", False, (load.wrong[:3], daemon.log()))
    check("killed under load, it answers the same again", True,
          f"the slowest start with its first answer took {slowest:.2f} s")
    left = set(os.listdir(stage.library)) - before
    check("no files but its own are left", all(
        name.startswith("model.sluice.") and "part" not in name for name in left), left)
    for _ in range(3 if is_short else 20):
        process = subprocess.Popen(
            [stage.programs / "sluice", "import", stage.model, "--name", "killed", "--library",
             stage.library], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(stage.random.random() * 0.15)
        process.kill()
        process.wait()
        path = stage.library / "killed.sluice"
        if path.exists():
            check("a killed import leaves all or nothing",
                  path.stat().st_size == stage.packed.stat().st_size)
            path.unlink()
    stage.sluice("import", stage.model, "--name", "killed")
    left = [name for name in os.listdir(stage.library) if "part" in name or name.startswith(".")]
    check("imports that were killed leave nothing behind the next", not left, left)
    os.remove(stage.library / "killed.sluice")


def second(stage, is_short):
    """A second daemon at the same socket says so, and leaves the first alone."""
    del is_short
    with stage.daemon() as daemon:
        right = daemon.ask()
        ended = subprocess.run(daemon.arguments, env=daemon.environment, text=True,
                               capture_output=True, timeout=60, check=False)
        check("a second daemon ends", ended.returncode == 75 and "socket" in ended.stderr,
              f"{ended.returncode}: {ended.stderr.strip()}")
        check("the first answers", daemon.ask() == right and daemon.is_same())


def drain(stage, is_short):
    """SIGTERM: answers under way are finished, further ones refused, and the end is 0."""
    del is_short
    with stage.daemon("[service]\nsessions_max = 4\n") as daemon:
        long = {"max_tokens": 100, "temperature": 9, "top_k": 0, "top_p": 1, "min_p": 0, "seed": 7}
        right = [daemon.ask(prompt, **long) for prompt in PROMPTS[:3]]
        results = [None] * 3

        def ask(index):
            results[index] = daemon.ask(PROMPTS[index], **long)

        waiting = threading.Thread(target=together, args=(ask, 3))
        waiting.start()
        while waiting.is_alive() and under_way(daemon) < 3:
            time.sleep(0.01)
        daemon.process.send_signal(signal.SIGTERM)
        time.sleep(0.05)
        is_early = waiting.is_alive()
        try:
            answer = daemon.exchange(daemon.question())
            is_told = fire.status(answer) == 503 and b"retry-after" in answer.lower()
        except OSError as error:
            # Where all was answered by then, nobody is there any more.
            answer, is_told = str(error).encode(), not is_early or not waiting.is_alive()
        check("who comes late is refused", is_told, answer[:200])
        waiting.join()
        check("answers under way are finished", results == right,
              [result[0] for result in results])
        check("the end is 0", daemon.process.wait(60) == 0)
        check("the socket is gone", not os.path.exists(daemon.path))


def under_way(daemon):
    """How many answers are being worked on, or wait."""
    text = daemon.get("/metrics").decode()
    return sum(float(value) for value in re.findall(
        r"^sluiced_generations_(?:running|waiting) (\S+)$", text, re.M))


CASES = {case.__name__: case for case in [reads, files, full, kills, second, drain]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ["programs", "model", "other", "folder"]:
        parser.add_argument(name)
    parser.add_argument("--case", action="append", choices=CASES)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--seed", type=int, default=random.getrandbits(32))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    for name in options.case or CASES:
        stage = stages.Stage(options.programs, options.model, options.other, options.folder,
                             random.Random(f"{options.seed}/{name}"))
        begun = time.monotonic()
        CASES[name](stage, options.short)
        print(f"-- {name}: {time.monotonic() - begun:.1f} s", flush=True)
    print(f"{fire.failures} failed")
    return 1 if fire.failures else 0


if __name__ == "__main__":
    sys.exit(main())
