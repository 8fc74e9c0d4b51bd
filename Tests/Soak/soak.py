#!/usr/bin/env python3
"""Serves mixed clients from a streamed model for hours, and says whether anything has changed.

    soak.py PROGRAMS MODEL OUTPUT [--seconds 7200] [--memory 25M] [--cap 29M] [--seed N] ...
    soak.py --judge OUTPUT

PROGRAMS is the folder with sluice and sluiced, MODEL a GGUF file, which is packed into OUTPUT; one
without a chat template gets a plain one. The daemon has --memory as its budget, and runs in a
control group (version 1 or 2) that may have --cap, page cache included; where no group can be made,
or --cap is none, that is said, and --wrap is a command that makes one and then becomes the daemon,
such as "systemd-run --user --scope -p MemoryMax=29M". Clients (clients.py) do what a seed says, as
much as keeps --load of a processor busy. Once in each --interval they pause: a fixed question is
asked, whose answer must be the same byte for byte, and memory, files, threads and counts are
written as a line to OUTPUT/samples.jsonl. Every answer that should have been another is a line in
OUTPUT/broken.jsonl. The end is a table in Markdown; --judge makes it again from those files. The
exit status is 1 when anything was not as it should be. Python's standard library only. docs/SOAK.md
has figures.
"""

import argparse
import json
import os
import pathlib
import random
import re
import resource
import shlex
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import threading
import time

import clients
import fire

CLIENTS = 8
MEMORY_PART = 0.02
# Below so many samples after the warm-up nothing is said of what is flat.
SAMPLES_MIN = 10
# Parts of the time, in which memory is compared.
GROUPS = 10
BROKEN_MAX = 200
TEMPLATE = ("{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
            "{% if add_generation_prompt %}assistant: {% endif %}")


class Gate:
    """Lets clients begin something, or waits until nobody is at anything."""

    def __init__(self):
        self.condition = threading.Condition()
        self.is_open, self.has_ended, self.inside = False, False, 0

    def enter(self):
        with self.condition:
            self.condition.wait_for(lambda: self.is_open or self.has_ended)
            self.inside += not self.has_ended
            return not self.has_ended

    def leave(self):
        with self.condition:
            self.inside -= 1
            self.condition.notify_all()

    def open(self):
        with self.condition:
            self.is_open = True
            self.condition.notify_all()

    def close(self, seconds=clients.ANSWER_SECONDS + 60):
        """Whether all are through."""
        with self.condition:
            self.is_open = False
            return self.condition.wait_for(lambda: self.inside == 0, seconds)

    def end(self):
        with self.condition:
            self.has_ended, self.is_open = True, False
            self.condition.notify_all()


class Group:
    """A control group with a limit; one that cannot be made has no path, and says why."""

    def __init__(self, limit):
        first = pathlib.Path("/sys/fs/cgroup/memory")
        self.is_first = first.is_dir()
        root = first if self.is_first else pathlib.Path("/sys/fs/cgroup")
        if limit == "none":
            self.path, self.problem = None, "none was asked for"
            return
        self.path, self.problem = root / f"sluice-soak.{os.getpid()}", None
        name = "memory.limit_in_bytes" if self.is_first else "memory.max"
        try:
            self.path.mkdir()
            (self.path / name).write_text(str(size_bytes(limit)))
            if not self.is_first:
                (self.path / "memory.swap.max").write_text("0")
        except OSError as error:
            self.path, self.problem = None, error

    def enter(self):
        """By the process that is to be in it."""
        if self.path:
            (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def read(self):
        """What it holds: all, what belongs to processes, and how often there was not enough."""
        if not self.path:
            return {}
        stat = dict(line.split() for line in (self.path / "memory.stat").read_text().splitlines())
        usage = "memory.usage_in_bytes" if self.is_first else "memory.current"
        told = "memory.oom_control" if self.is_first else "memory.events"
        events = dict(line.split() for line in (self.path / told).read_text().splitlines())
        return {"group": int((self.path / usage).read_text()),
                "group_anonymous": int(stat["rss" if self.is_first else "anon"]),
                "kills": int(events.get("oom_kill", 0))}

    def remove(self):
        if self.path:
            self.path.rmdir()


class Pace:
    """Holds what the daemon and its clients use of a processor to a part of it."""

    def __init__(self, pid, load):
        self.pid, self.load = pid, load
        self.reset()

    def used(self):
        with open(f"/proc/{self.pid}/stat", encoding="utf-8") as file:
            ticks = sum(map(int, file.read().rsplit(")", 1)[1].split()[11:13]))
        own = resource.getrusage(resource.RUSAGE_SELF)
        return ticks / os.sysconf("SC_CLK_TCK") + own.ru_utime + own.ru_stime

    def reset(self):
        self.start, self.before = time.monotonic(), self.used()

    def is_ahead(self):
        return self.used() - self.before > self.load * (time.monotonic() - self.start) + 0.5


def with_template(source, target):
    """Copies a GGUF file; one without a chat template gets TEMPLATE, as its first key."""
    data = pathlib.Path(source).read_bytes()
    if b"tokenizer.chat_template" in data[:16 << 20]:
        target.write_bytes(data)
        return
    widths = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
    at = 24

    def number(form):
        nonlocal at
        value, = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize("<" + form)
        return value

    def skip(kind):
        nonlocal at
        if kind == 8:
            length = number("Q")
            at += length
        elif kind == 9:
            inner = number("I")
            for _ in range(number("Q")):
                skip(inner)
        else:
            at += widths[kind]

    tensors, keys = struct.unpack_from("<QQ", data, 8)
    alignment = 32
    for _ in range(keys):
        length = number("Q")
        key = data[at:at + length]
        at += length
        kind = number("I")
        if key == b"general.alignment":
            alignment, = struct.unpack_from("<I", data, at)
        skip(kind)
    for _ in range(tensors):
        skip(8)
        dimensions = number("I")
        at += 8 * dimensions + 12
    name, text = b"tokenizer.chat_template", TEMPLATE.encode()
    entry = struct.pack("<Q", len(name)) + name + struct.pack("<IQ", 8, len(text)) + text
    head = data[:16] + struct.pack("<Q", keys + 1) + entry + data[24:at]
    start = -(-at // alignment) * alignment
    target.write_bytes(head + b"\0" * (-len(head) % alignment) + data[start:])


class Soak:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.gate, self.lock = Gate(), threading.Lock()
        self.counts, self.broken, self.stopping = {}, 0, False
        self.samples = open(folder / "samples.jsonl", "w", encoding="utf-8", buffering=1)
        self.details = open(folder / "broken.jsonl", "w", encoding="utf-8", buffering=1)
        self.group, self.process = Group(options.cap), None

    def start(self):
        """Imports the model and starts the daemon; returns it as its clients see it."""
        options, folder = self.options, self.folder
        programs = pathlib.Path(options.programs)
        library = folder / "library"
        shutil.rmtree(library, ignore_errors=True)
        source = folder / "model.gguf"
        with_template(options.model, source)
        subprocess.run([programs / "sluice", "import", source, "--library", library, "--name",
                        "model"], check=True, stdout=subprocess.DEVNULL)
        source.unlink()
        # What is in the page cache already would be outside of the group.
        for path in [programs / "sluiced", library / "model.sluice"]:
            with open(path, "rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        self.profile = folder / "profile.toml"
        self.profile.write_text("# A reload reads this again.\n")
        self.log = open(folder / "sluiced.log", "w", encoding="utf-8")
        socket = folder / "socket"
        self.process = subprocess.Popen(
            shlex.split(options.wrap) + [
                programs / "sluiced", "--memory", options.memory, "--library", library,
                "--socket", socket, "--profile", self.profile],
            stderr=self.log, stdin=subprocess.DEVNULL, preexec_fn=self.group.enter,
            env={**os.environ, "XDG_STATE_HOME": str(folder / "state")})
        daemon = fire.Daemon(str(socket), self.process.pid, "model")
        for _ in range(300):
            try:
                daemon.get("/health")
                return daemon
            except OSError:
                time.sleep(0.1)
        raise SystemExit("sluiced is not ready: see sluiced.log")

    def work(self, number):
        """One client until the end."""
        daemon = fire.Daemon(self.daemon.path, self.process.pid, "model")
        client = clients.Client(daemon, lambda: self.gate.is_open)
        order = 0
        while self.gate.enter():
            try:
                if self.pace.is_ahead():
                    client.wait(0.2)
                    continue
                order += 1
                name = f"{self.options.seed}/{number}/{order}"
                what, outcome, problem = client.act(random.Random(name))
                self.note(what, outcome, problem, name)
                client.wait(random.random() * 0.5)
            except OSError as error:
                self.note("pace", "BROKEN", str(error), "-")
                return
            finally:
                self.gate.leave()

    def note(self, what, outcome, problem, name):
        with self.lock:
            of = self.counts.setdefault(what, {})
            of[outcome] = of.get(outcome, 0) + 1
            if problem is None:
                return
            self.broken += 1
            if self.broken <= BROKEN_MAX:
                line = {"at": self.elapsed(), "what": what, "order": name, "is": problem[:2000]}
                self.details.write(json.dumps(line) + "\n")

    def elapsed(self):
        return round(time.monotonic() - self.began, 1)

    def sample(self):
        """Writes one line of how it is, while nobody asks anything."""
        quiet = self.gate.close()
        answer = self.daemon.answer()
        self.daemon.quiet()
        line = {"at": self.elapsed(), "quiet": quiet, "same": answer == self.first}
        if answer != self.first:
            self.note("fixed question", "BROKEN", repr(answer), "-")
        process = pathlib.Path(f"/proc/{self.process.pid}")
        for text in (process / "smaps_rollup").read_text().splitlines()[1:]:
            name, size = text.split()[:2]
            if name in ("Rss:", "Pss:", "Pss_Anon:"):
                line[name[:-1].lower()] = int(size) * 1024
        line["files"] = len(os.listdir(process / "fd"))
        names = [(each / "comm").read_text() for each in (process / "task").iterdir()]
        # The kernel's own for io_uring come and go.
        line["threads"] = sum(not name.startswith("iou-") for name in names)
        peak = re.search(r"VmHWM:\s+(\d+)", (process / "status").read_text())
        line["peak"] = int(peak[1]) * 1024
        metrics = self.daemon.get("/metrics").decode()
        line["processor"] = round(self.pace.used() - self.used, 1)
        line["metrics"] = {
            name: float(value) for name, value in re.findall(
                r"^sluiced_(flash_bytes_total|generated_tokens_total|disconnected_total"
                r"|refused_total|suspensions_total|bundle_hits_total|bundle_misses_total) (\S+)$",
                metrics, re.M)}
        line["faults"] = sum(float(value) for value in re.findall(
            r'^sluiced_requests_total\{.*status="50[02]".*\} (\S+)$', metrics, re.M))
        line |= self.group.read()
        with self.lock:
            line["counts"] = json.loads(json.dumps(self.counts))
        self.samples.write(json.dumps(line) + "\n")
        return line

    def run(self):
        self.began = time.monotonic()
        self.daemon = self.start()
        self.pace = Pace(self.process.pid, self.options.load)
        self.used = self.pace.used()
        self.first = self.daemon.answer()
        self.write_about("not yet")
        workers = [threading.Thread(target=self.work, args=(number,), daemon=True)
                   for number in range(CLIENTS)]
        for worker in workers:
            worker.start()
        chance = random.Random(self.options.seed)
        while self.elapsed() < self.options.seconds and self.process.poll() is None:
            self.pace.reset()
            self.gate.open()
            time.sleep(self.options.interval)
            if chance.random() < 0.3:
                self.process.send_signal(signal.SIGHUP)
            try:
                line = self.sample()
            except (OSError, ValueError, IndexError) as error:
                self.note("sample", "BROKEN", f"{type(error).__name__}: {error}", "-")
                continue
            self.write_about("not yet")
            print(f"{line['at']:.0f} s: {sum(map(total, line['counts'].values()))} requests, "
                  f"{self.broken} broken, {line['rss'] / 2**20:.2f} MiB, {line['files']} files, "
                  f"{line['threads']} threads", flush=True)
        self.gate.end()
        self.end()

    def end(self):
        ended = self.process.poll()
        if ended is None:
            self.process.terminate()
            try:
                ended = self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                ended = "none within a minute"
        self.write_about(ended)
        try:
            self.group.remove()
        except OSError as error:
            print(f"the control group stays: {error}")

    def write_about(self, ended):
        """What the judge has to know besides the samples."""
        about = {name: getattr(self.options, name) for name in [
            "seconds", "memory", "cap", "seed", "load", "warmup", "interval"]}
        about |= {"ended": ended, "uncapped": str(self.group.problem or ""),
                  "broken": self.broken, "counts": self.counts}
        (self.folder / "end.json").write_text(json.dumps(about, indent=1))


def size_bytes(text):
    """A size such as 29M in bytes."""
    return int(float(text[:-1]) * (1 << {"K": 10, "M": 20, "G": 30}[text[-1]]))


def total(outcomes):
    return sum(outcomes.values())


def most_of_each(samples, name, groups):
    """The most that a value was in each of so many parts of the time."""
    values = [each[name] for each in samples if name in each]
    places = [len(values) * index // groups for index in range(groups + 1)]
    return [max(values[first:last]) for first, last in zip(places, places[1:]) if first < last]


def flat(samples, name):
    """Whether memory was as much in each tenth of the time, within MEMORY_PART of their median;
    with what it was. What matters is the most of each: it is less for a while when a model was just
    loaded again."""
    most = most_of_each(samples, name, GROUPS)
    if not most:
        return "not known", True
    middle = statistics.median(most)
    part = max(abs(value - middle) for value in most) / middle
    mebi = [f"{value / 2**20:.2f}" for value in (most[0], middle, most[-1])]
    return (f"{mebi[0]}, {mebi[1]}, {mebi[2]} MiB in the first tenth of the time, the median, the "
            f"last; at most {part * 100:.2f} % from the median"), part <= MEMORY_PART


def steady(samples, name):
    """Whether a count did not grow from one half of the time to the other; with what it was."""
    most = most_of_each(samples, name, 2)
    return f"at most {most[0]}, then {most[-1]}", most[-1] <= most[0]


def judge(folder):
    """Prints the table; returns whether all is as it should be."""
    lines = (folder / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    samples = [json.loads(line) for line in lines if line.endswith("}")]
    about = {"ended": "unknown", "warmup": 600, "broken": "unknown"}
    if (folder / "end.json").exists():
        about |= json.loads((folder / "end.json").read_text())
    last = samples[-1]
    after = [each for each in samples if each["at"] >= about["warmup"]]
    counts = about.get("counts", last["counts"])
    rows = []
    if len(after) >= SAMPLES_MIN:
        for title, name in [("resident memory", "rss"), ("its share (PSS)", "pss"),
                            ("of it anonymous", "pss_anon"),
                            ("the group's anonymous memory", "group_anonymous")]:
            rows.append((title, *flat(after, name)))
        rows += [("open files", *steady(after, "files")), ("threads", *steady(after, "threads"))]
    else:
        rows.append(("what is flat", f"{len(after)} samples after the warm-up say nothing", True))
    if "memory" in about:
        peak = last["peak"]
        rows.append(("most resident memory", f"{peak / 2**20:.2f} MiB of {about['memory']}",
                     peak <= size_bytes(about["memory"])))
    groups = [each["group"] for each in samples if "group" in each]
    if groups:
        rows.append(("the group with its page cache", f"at most {max(groups) / 2**20:.2f} MiB of "
                     f"{about.get('cap')}", last["kills"] == 0))
    else:
        rows.append(("no cap", about.get("uncapped", ""), True))
    same = sum(each["same"] for each in samples)
    rows += [("the fixed question's answer", f"{same} of {len(samples)} the same",
              same == len(samples)),
             ("answers that should have been others", about["broken"], about["broken"] == 0),
             ("of them 500 and 502", f"{last['faults']:.0f}", last["faults"] == 0),
             ("the daemon's exit status", about["ended"], about["ended"] == 0)]
    metrics = last["metrics"]
    read = metrics.get("flash_bytes_total", 0) / 2**30
    print(f"\n{last['at'] / 3600:.2f} h, seed {about.get('seed')}, {last['processor']:.0f} s of "
          f"processor, {metrics.get('generated_tokens_total', 0):.0f} tokens generated, "
          f"{read:.1f} GiB read, {metrics.get('suspensions_total', 0):.0f} suspensions\n")
    print("| what | is | as it should be |\n|---|---|---|")
    for title, detail, passed in rows:
        print(f"| {title} | {detail} | {'yes' if passed else 'NO'} |")
    outcomes = ["answered", "refused", "full", "left", "BROKEN"]
    print(f"\n| clients | {' | '.join(outcomes)} |\n|---|{'---|' * len(outcomes)}")
    for what, of in sorted(counts.items()):
        print(f"| {what} | {' | '.join(str(of.get(each, 0)) for each in outcomes)} |")
    return all(passed for _, _, passed in rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("programs", nargs="?")
    parser.add_argument("model", nargs="?")
    parser.add_argument("output", nargs="?")
    parser.add_argument("--judge", metavar="OUTPUT")
    parser.add_argument("--seconds", type=float, default=7200)
    parser.add_argument("--warmup", type=float, default=600)
    parser.add_argument("--interval", type=float, default=60)
    parser.add_argument("--load", type=float, default=0.33)
    parser.add_argument("--memory", default="25M")
    parser.add_argument("--cap", default="29M")
    parser.add_argument("--wrap", default="")
    parser.add_argument("--seed", type=int, default=random.getrandbits(32))
    options = parser.parse_args()
    if options.judge:
        return 0 if judge(pathlib.Path(options.judge)) else 1
    folder = pathlib.Path(options.output).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "end.json").unlink(missing_ok=True)
    soak = Soak(options, folder)
    print(f"seed {options.seed}, {soak.group.problem or 'in ' + str(soak.group.path)}", flush=True)
    try:
        soak.run()
    finally:
        if soak.process:
            soak.process.kill()
    return 0 if judge(folder) else 1


if __name__ == "__main__":
    sys.exit(main())
