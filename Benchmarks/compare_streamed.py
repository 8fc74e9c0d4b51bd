#!/usr/bin/env python3
"""Sluice beside llama.cpp with less memory than the weights take: alternating cold runs, medians.

    pip install llama-cpp-python gguf numpy        # in a virtual environment; builds llama.cpp
    make build
    PEER_PYTHON=venv/bin/python Benchmarks/compare_streamed.py MODEL.gguf... \\
        --caps 1G,1536M,2G --cap-command ../shared/tools/capped.sh --runs 3 --csv OUT.csv

Each model is packed first (not timed). Before each run the model's files are dropped from the page
cache. Each run is started as `CAP-COMMAND CAP [--read-bps RATE] -- COMMAND`, which must hold the
command to CAP bytes of memory, page cache counted, and its reads to RATE. Sluice gets
`--memory` of --memory-share of the cap: the rest is for what the kernel counts besides.

llama.cpp maps the file, and its speed then depends on how far the block device reads ahead: it runs
once with each of --read-ahead (KiB), set in sysfs, which takes root, and set back afterwards.
OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE are unset for both. PEER_SCRIPT names the peer's script when
it is not at its usual place beside the repository; --no-peer leaves it out. Run nothing else.
"""
import argparse
import csv
import json
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIELDS = ["model", "cap_bytes", "memory_bytes", "read_bytes_per_second_max", "engine",
          "read_ahead_kib", "run", "status", "threads", "prompt_tokens",
          "prompt_tokens_per_second", "generated_tokens", "generated_tokens_per_second",
          "flash_limit_tokens_per_second", "flash_fraction", "limit_fraction", "bundle_hit_rate",
          "flash_bytes_per_generated_token", "drive_bytes_per_second", "peak_resident_bytes"]
SUFFIXES = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


def size(text):
    digits = text.upper().rstrip("BI").rstrip("KMGT")
    suffix = text.upper().rstrip("BI")[len(digits):]
    if not digits.isdigit() or suffix not in SUFFIXES:
        raise argparse.ArgumentTypeError(f"'{text}' is not a size such as 1536M or 2G")
    return int(digits) << SUFFIXES[suffix]


def environment():
    return {name: value for name, value in os.environ.items()
            if name not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}


def evict(*paths):
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        os.fdatasync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


class ReadAhead:
    """The read-ahead of the device that holds a file; set back at the end."""

    def __init__(self, path):
        number = os.stat(path).st_dev
        folder = pathlib.Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
        # A partition's settings are its disk's.
        found = [place for place in (folder / "queue", folder / "../queue") if place.is_dir()]
        self.file = found[0] / "read_ahead_kb" if found else None
        self.before = self.file.read_text().strip() if self.file else "0"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.file and self.file.read_text().strip() != self.before:
            self.file.write_text(self.before)

    def set(self, kibibytes):
        """What it is now."""
        try:
            self.file.write_text(str(kibibytes))
        except (OSError, AttributeError) as error:
            print(f"  read-ahead stays {self.before} KiB: {error}", file=sys.stderr)
            return int(self.before)
        return int(self.file.read_text())


def capped(cap, arguments, command):
    """A finished command's JSON and its status in a word."""
    words = []
    if arguments.cap_command:
        words = [*arguments.cap_command.split(), str(cap)]
        words += ["--read-bps", str(arguments.read_bps)] if arguments.read_bps else []
        words += ["--"]
    try:
        result = subprocess.run([*words, *map(str, command)], env=environment(), text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                timeout=arguments.timeout)
    except subprocess.TimeoutExpired:
        return {}, "timeout"
    if result.returncode != 0:
        print(f"  failed ({result.returncode}): {result.stderr.strip()[-300:]}", file=sys.stderr)
        return {}, "killed" if result.returncode in (-9, 137) else "failed"
    return json.loads(result.stdout), "ok"


def packed(program, model, arguments):
    """The packed file of a model, made if need be."""
    library = ["--library", arguments.library] if arguments.library else []
    subprocess.run([program, "show", model, *library], env=environment(), check=True,
                   stdout=subprocess.DEVNULL)
    home = os.environ.get("XDG_DATA_HOME", os.path.expanduser("~/.local/share"))
    folder = pathlib.Path(arguments.library or f"{home}/sluice/models")
    return folder / (pathlib.Path(model).stem + ".sluice")


def run_sluice(program, file, cap, arguments):
    evict(file)
    memory = int(cap * arguments.memory_share)
    return memory, *capped(cap, arguments, [
        program, "bench", file, "--memory", memory, "--threads", arguments.threads, "--prompt",
        arguments.prompt, "--generate", arguments.generate, "--runs", 1, "--json",
        *arguments.sluice_options.split()])


def run_peer(model, cap, arguments):
    evict(model)
    script = os.environ.get("PEER_SCRIPT", str(ROOT.parent / "shared/tools/peer.py"))
    return capped(cap, arguments, [
        os.environ.get("PEER_PYTHON", sys.executable), script, model, "--threads",
        arguments.threads, "--prompt", arguments.prompt, "--generate", arguments.peer_generate])


def row(model, cap, arguments, run, figures, status, **more):
    found = {name: figures[name] for name in FIELDS if figures.get(name) is not None}
    found = {name: float(f"{value:.5g}") if isinstance(value, float) else value
             for name, value in found.items()}
    speed = figures.get("drive", {}).get("bytes_per_second")
    result = {**found, "model": pathlib.Path(model).stem, "cap_bytes": cap, "run": run,
              "status": status, "threads": arguments.threads,
              "prompt_tokens": arguments.prompt,
              "read_bytes_per_second_max": arguments.read_bps or "",
              "drive_bytes_per_second": int(speed) if speed else "", **more}
    print(f"  {result['model']} in {cap >> 20} MiB, {result['engine']}"
          f" {result.get('read_ahead_kib', '')}: {status}, prompt "
          f"{result.get('prompt_tokens_per_second')}, generate "
          f"{result.get('generated_tokens_per_second')}, of the flash limit "
          f"{result.get('flash_fraction', '-')}", file=sys.stderr, flush=True)
    return result


def measure(program, model, arguments):
    file = packed(program, model, arguments)
    with ReadAhead(model) as read_ahead:
        for cap in arguments.caps:
            for run in range(arguments.runs):
                memory, figures, status = run_sluice(program, file, cap, arguments)
                yield row(model, cap, arguments, run, figures, status, engine="sluice",
                          memory_bytes=memory, generated_tokens=arguments.generate)
                for wanted in [] if arguments.no_peer else arguments.read_ahead:
                    present = read_ahead.set(wanted)
                    figures, status = run_peer(model, cap, arguments)
                    yield row(model, cap, arguments, run, figures, status, engine="llama.cpp",
                              read_ahead_kib=present, generated_tokens=arguments.peer_generate)


def medians(rows, model, cap, field, engine, read_ahead=None):
    values = [float(row[field]) for row in rows
              if row["model"] == model and int(row["cap_bytes"]) == cap
              and row["engine"] == engine and row.get(field) not in (None, "")
              and (read_ahead is None or str(row["read_ahead_kib"]) == str(read_ahead))]
    return statistics.median(values) if values else None


def table(rows):
    def shown(value, digits=2):
        return "-" if value is None else f"{value:.{digits}f}"

    speed, prompt = "generated_tokens_per_second", "prompt_tokens_per_second"
    ahead = sorted({int(row["read_ahead_kib"]) for row in rows if row.get("read_ahead_kib")},
                   reverse=True)
    names = " / ".join(map(str, ahead))
    print(f"| model | cap, MiB | generate, tokens/s | of the flash limit | hits "
          f"| llama.cpp, read-ahead {names} | against its better | prompt, tokens/s "
          f"| llama.cpp {names} |")
    print("|---" * 9 + "|")
    for model, cap in dict.fromkeys((row["model"], int(row["cap_bytes"])) for row in rows):
        def median(field, engine="sluice", kib=None):
            return medians(rows, model, cap, field, engine, kib)
        ours = median(speed)
        theirs = [median(speed, "llama.cpp", kib) for kib in ahead]
        best = max((value for value in theirs if value), default=None)
        cells = [model, str(cap >> 20), shown(ours), shown(median("flash_fraction")),
                 shown(median("bundle_hit_rate")), " / ".join(map(shown, theirs)),
                 f"{ours / best:.1f} ×" if ours and best else "-", shown(median(prompt), 1),
                 " / ".join(shown(median(prompt, "llama.cpp", kib), 1) for kib in ahead)]
        print("| " + " | ".join(cells) + " |")


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", help="GGUF files")
    parser.add_argument("--caps", type=lambda text: [size(item) for item in text.split(",")],
                        help="memory caps such as 1G,1536M")
    parser.add_argument("--cap-command", help="holds a command to a cap; see above")
    parser.add_argument("--read-bps", type=size, help="reads for each second at most")
    parser.add_argument("--memory-share", type=float, default=0.96)
    parser.add_argument("--read-ahead", default=[8192, 128], help="KiB, such as 8192,128",
                        type=lambda text: [int(item) for item in text.split(",")])
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--sluice-options", default="", help="more for `sluice bench`")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prompt", type=int, default=32)
    parser.add_argument("--generate", type=int, default=64)
    parser.add_argument("--peer-generate", type=int, default=16, help="it is slow")
    parser.add_argument("--timeout", type=float, default=900, help="seconds for one run")
    parser.add_argument("--library", help="where Sluice keeps the packed models")
    parser.add_argument("--csv", help="where every run's figures are added")
    parser.add_argument("--table", metavar="CSV", help="only print the table of earlier figures")
    arguments = parser.parse_args()
    if not arguments.table and not (arguments.models and arguments.caps):
        parser.error("name models and --caps")
    if arguments.read_bps and not arguments.cap_command:
        parser.error("--read-bps needs a --cap-command")
    for model in arguments.models:
        if not os.path.exists(model):
            parser.error(f"{model}: no such file")
    return parser, arguments


def main():
    parser, arguments = parsed()
    if arguments.table:
        with open(arguments.table, newline="") as file:
            return table(list(csv.DictReader(file)))
    program = str(ROOT / ".build/release/sluice")
    if not os.path.exists(program):
        parser.error("`make build` first")
    rows = []
    is_new = bool(arguments.csv) and not os.path.exists(arguments.csv)
    with open(arguments.csv or os.devnull, "a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        if is_new:
            writer.writeheader()
        for model in arguments.models:
            for figures in measure(program, model, arguments):
                rows.append(figures)
                writer.writerow(figures)
                file.flush()
    table(rows)


if __name__ == "__main__":
    main()
