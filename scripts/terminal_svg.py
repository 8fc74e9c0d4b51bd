#!/usr/bin/env python3
"""Write docs/chat.svg and docs/top.svg: a terminal in which a real model answers.

    scripts/terminal_svg.py PROGRAMS [OUT_FOLDER]       (make pictures)

PROGRAMS is the folder with sluiced and sluice. In a pseudo-terminal a shell imports the model of
scripts/fetch_model.py, starts the daemon with about half of what the weights take, chats, and looks
at the daemon with top(1). What appeared is drawn as it appeared, with its colours: nothing is
written by hand but what is typed. Standard library, bash and procps only.
"""

import os
import pathlib
import pty
import re
import select
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
from fcntl import ioctl
from html import escape

import fetch_model

ROWS, COLUMNS = 200, 84
SHELL, CHAT = "$", ">>>"
SIZE, LINE_HEIGHT, CHARACTER_WIDTH, MARGIN = 13, 18, 7.83, 16
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
# The terminal's eight colours, on light paper and on dark.
LIGHT = "24292f cf222e 116329 7d4e00 0969da 8250df 1b7c83 57606a".split()
DARK = "8b949e ff7b72 7ee787 d29922 79c0ff d2a8ff 56d4dd c9d1d9".split()
STEPS = [
    "sluiced --memory 48M 2> /dev/null &",
    "sluice run smollm2 --temperature 0 --stats",
]
QUESTIONS = ["What is photosynthesis?", "Where does it happen in a leaf?"]
LOOKS = [
    "du -h --apparent-size models/smollm2.sluice",
    "top -b -n 1 -e m -w 84 -p $!",
]


class Screen:
    """What a terminal shows: rows of cells, each a character and how it is drawn."""

    SEQUENCE = re.compile(r"\x1b\[([?>]?)([\d;]*)([@-~])|\x1b[=>78]|\x1b\][^\a]*\a")

    def __init__(self):
        self.rows, self.row, self.column, self.style = [[]], 0, 0, ""

    def feed(self, text):
        at = 0
        while at < len(text):
            found = self.SEQUENCE.match(text, at)
            if found:
                at = found.end()
                if found[3] and not found[1]:
                    self.obey(found[3], [int(word or 0) for word in found[2].split(";")])
            else:
                self.put(text[at])
                at += 1

    def put(self, character):
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self.row += 1
        elif character == "\b":
            self.column = max(0, self.column - 1)
        elif character == "\t":
            self.column += 8 - self.column % 8
        elif character >= " ":
            if self.column >= COLUMNS:
                self.row, self.column = self.row + 1, 0
            line = self.line()
            line.extend([(" ", "")] * (self.column + 1 - len(line)))
            line[self.column] = (character, self.style)
            self.column += 1
        self.line()

    def line(self):
        self.rows.extend([] for _ in range(self.row + 1 - len(self.rows)))
        return self.rows[self.row]

    def obey(self, letter, numbers):
        count = max(1, numbers[0])
        if letter == "A":
            self.row = max(0, self.row - count)
        elif letter == "B":
            self.row += count
        elif letter == "C":
            self.column = min(COLUMNS - 1, self.column + count)
        elif letter == "D":
            self.column = max(0, self.column - count)
        elif letter == "G":
            self.column = count - 1
        elif letter == "K" and numbers[0] == 0:
            del self.line()[self.column:]
        elif letter == "J" and numbers[0] == 0:
            del self.line()[self.column:]
            del self.rows[self.row + 1:]
        elif letter == "m":
            self.colour(numbers)
        elif letter not in "hlt":
            sys.exit(f"a sequence that is not drawn: {letter} {numbers}")

    def colour(self, numbers):
        """A style is names of classes: b for bold, f0 to f7 for the colours, all reset by 0."""
        names = set(self.style.split())
        for number in numbers:
            if number in (0, 39):
                names = {name for name in names if number and not name.startswith("f")}
            elif number == 1:
                names.add("b")
            elif 30 <= number <= 37 or 90 <= number <= 97:
                names = {name for name in names if not name.startswith("f")}
                names.add(f"f{number % 10}")
        self.style = " ".join(sorted(names))

    def text(self, row):
        return "".join(character for character, _ in self.rows[row]).rstrip()


class Terminal:
    """A shell in a pseudo-terminal, and its screen."""

    def __init__(self, environment, folder):
        self.screen = Screen()
        process, self.file = pty.fork()
        if process == 0:
            os.chdir(folder)
            os.execvpe("bash", ["bash", "--norc", "--noprofile", "--noediting"], environment)
        self.process = process
        ioctl(self.file, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.wait(SHELL)

    def wait(self, prompt, seconds=300):
        """Until the cursor stands behind a prompt and nothing more comes."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if select.select([self.file], [], [], 0.5)[0]:
                self.screen.feed(os.read(self.file, 65536).decode("utf-8", "replace"))
            elif self.screen.text(self.screen.row) == prompt:
                return
        sys.exit(f"no prompt {prompt} after {seconds} s; the screen:\n" + "\n".join(
            self.screen.text(row) for row in range(len(self.screen.rows))))

    def enter(self, line, prompt):
        """Types a line. Waits for the prompt that follows what it does."""
        os.write(self.file, line.encode() + b"\r")
        self.wait(prompt)

    def row(self):
        return self.screen.row

    def end(self):
        os.write(self.file, b"kill $!; wait; exit\r")
        os.waitpid(self.process, 0)


def runs(row):
    """A row's cells as pieces that are drawn alike."""
    pieces = []
    for character, style in row:
        if pieces and pieces[-1][1] == style:
            pieces[-1][0] += character
        else:
            pieces.append([character, style])
    return pieces


def svg(rows, title):
    """Text as text, so that it can be read, searched and copied; fonts are the reader's."""
    width = MARGIN * 2 + COLUMNS * CHARACTER_WIDTH
    height = MARGIN * 2 + len(rows) * LINE_HEIGHT
    colours = [
        "".join(f".f{number}{{fill:#{colour}}}" for number, colour in enumerate(palette))
        for palette in (LIGHT, DARK)]
    yield (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width:.0f} {height}' "
        f"width='{width:.0f}' height='{height}' role='img'>\n<title>{escape(title)}</title>\n"
        f"<style>text{{font:{SIZE}px {FONT};fill:#24292f;white-space:pre}}"
        f".b{{font-weight:bold}}.p{{fill:#f6f8fa;stroke:#d0d7de}}{colours[0]}"
        "@media (prefers-color-scheme:dark){text{fill:#e6edf3}"
        f".p{{fill:#161b22;stroke:#30363d}}{colours[1]}}}</style>\n"
        f"<rect class='p' x='.5' y='.5' width='{width - 1:.0f}' height='{height - 1}' rx='8'/>\n")
    for number, row in enumerate(rows):
        pieces = "".join(
            f"<tspan class='{style}'>{escape(text)}</tspan>" if style else escape(text)
            for text, style in runs(row))
        if pieces.strip():
            y = MARGIN + number * LINE_HEIGHT + SIZE
            yield f"<text x='{MARGIN}' y='{y}' xml:space='preserve'>{pieces.rstrip()}</text>\n"
    yield "</svg>\n"


def write(path, rows, title):
    drawn = "".join(svg(rows, title))
    for word in (socket.gethostname(), os.environ.get("HOME", "/")):
        if len(word) > 1 and word in drawn:
            sys.exit(f"{path} would name this machine: {word}")
    path.write_text(drawn)
    print(path)


def record(programs, folder):
    """The rows of the chat and those of what top shows."""
    environment = {
        "PATH": f"{programs}:/usr/bin:/bin", "TERM": "xterm-256color",
        "PS1": f"\x1b[1;32m{SHELL}\x1b[0m ", "LC_ALL": "C.UTF-8",
        "HOME": folder, "XDG_RUNTIME_DIR": folder,
        "XDG_DATA_HOME": f"{folder}/data", "XDG_STATE_HOME": f"{folder}/state"}
    words = [f"{programs}/sluice", "import", str(fetch_model.fetch()), "--name", "smollm2"]
    subprocess.run(words, env=environment, check=True)
    terminal = Terminal(environment, f"{folder}/data/sluice")
    terminal.enter(STEPS[0], SHELL)
    time.sleep(2)
    terminal.enter(STEPS[1], CHAT)
    for question in QUESTIONS:
        terminal.enter(question, CHAT)
    terminal.enter("/bye", SHELL)
    middle = terminal.row()
    for line in LOOKS:
        terminal.enter(line, SHELL)
    rows, last = terminal.screen.rows, terminal.row()
    terminal.end()
    return rows[:middle], rows[middle:last]


def main():
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__.split("\n\n")[1].strip())
    out = pathlib.Path(sys.argv[2] if len(sys.argv) == 3 else "docs")
    with tempfile.TemporaryDirectory() as folder:
        chat, top = record(pathlib.Path(sys.argv[1]).resolve(), folder)
    write(out / "chat.svg", chat, "A chat with a model of 94 MiB in 48 MiB of memory")
    write(out / "top.svg", top, "The model's file, and the memory that the daemon has, in top")


if __name__ == "__main__":
    main()
