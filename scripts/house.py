#!/usr/bin/env python3
"""Numbers of the house: how the source is divided, and where a room has outgrown its door.

    scripts/house.py            prints each number beside what it should be; exit status 0 always

They describe, they do not forbid: where one is wrong for a place, that place says why. Counts Swift
under Sources only; braces are matched, grammar is not known.
"""
import collections
import glob
import os
import re

ROOM_SHARE_MAX = 0.09
STORED_VARS_MAX = 12
PARAMETERS_MAX = 7
FUNCTION_LINES_P90_MAX = 25
ARROW_SHARE_MAX = 0.20
DUPLICATE_LINES = 10
# Lines that say nothing when they are alike.
SKIPPED = ("//", "import", "internal import", "package import")


def blank(text):
    """Swift source with comments and strings turned into spaces; newlines stay."""
    pattern = re.compile(
        r'//[^\n]*|/\*.*?\*/|"""(?:\\.|.)*?"""|"(?:\\.|[^"\\\n])*"', re.DOTALL)
    return pattern.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


def block_end(code, opening):
    """The place after the brace that closes the one at `opening`."""
    depth = 0
    for place in range(opening, len(code)):
        depth += {"{": 1, "}": -1}.get(code[place], 0)
        if depth == 0:
            return place + 1
    return len(code)


def functions(code):
    """Name, parameters and lines of each function and initialiser with a body."""
    for found in re.finditer(r"\b(?:func\s+(\S+?)|(init[?]?))\s*(?:<[^>(]*>)?\(", code):
        depth, place = 1, found.end()
        commas = 0
        while depth and place < len(code):
            depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(code[place], 0)
            commas += depth == 1 and code[place] == ","
            place += 1
        parameters = commas + 1 if code[found.end():place - 1].strip() else 0
        opening = re.match(r"[^{}=;]*\{", code[place:])
        if opening:
            end = block_end(code, place + opening.end() - 1)
            yield found[1] or found[2], parameters, code.count("\n", found.start(), end) + 1


def stored_vars(code):
    """Name and number of stored `var`s of each class."""
    for found in re.finditer(r"\bclass\s+(\w+)[^{]*\{", code):
        body = code[found.end():block_end(code, found.end() - 1)]
        depth, count = 0, 0
        for line in body.split("\n"):
            declared = re.search(r"\bvar\s+\w+", line)
            if depth == 0 and declared and "static" not in line:
                rest = line[declared.end():]
                count += not ("{" in rest and "didSet" not in rest and "=" not in rest)
            depth += line.count("{") - line.count("}")
        yield found[1], count


def arrows():
    """Targets under Sources, and the pairs of which one depends on the other."""
    manifest = open("Package.swift").read()
    names = sorted(name for name in os.listdir("Sources") if os.path.isdir(f"Sources/{name}"))
    pairs = set()
    opening = r"(?:layer\(\s*|\.executableTarget\(\s*name: )"
    pattern = opening + r'"([\w-]+)",\s*(?:dependencies: )?\[([^\]]*)\]'
    for name, list_ in re.findall(pattern, manifest):
        pairs |= {(name, other) for other in re.findall(r'"([\w-]+)"', list_) if other in names}
    return names, {pair for pair in pairs if pair[0] in names}


def duplicates(sources):
    """Pairs of places in different files that share ten or more lines of code."""
    seen, found = {}, []
    for path, text in sources.items():
        lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1)]
        lines = [entry for entry in lines if len(entry[1]) > 3 and not entry[1].startswith(SKIPPED)]
        for start in range(len(lines) - DUPLICATE_LINES + 1):
            key = "\n".join(line for _, line in lines[start:start + DUPLICATE_LINES])
            other = seen.setdefault(key, (path, lines[start][0]))
            if other[0] != path:
                found.append(f"{path}:{lines[start][0]} and {other[0]}:{other[1]}")
    return found


def report(what, value, limit, isRight, places=()):
    print(f"{'   ' if isRight else ' ! '}{what:44} {value:>8}   (at most {limit})")
    for place in places:
        print(f"       {place}")


def main():
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    paths = sorted(glob.glob("Sources/**/*.swift", recursive=True))
    sources = {path: open(path).read() for path in paths}
    codes = {path: blank(text) for path, text in sources.items()}
    rooms = collections.Counter()
    for path, text in sources.items():
        rooms[path.split("/")[1]] += text.count("\n")
    total = sum(rooms.values())
    room, lines = rooms.most_common(1)[0]
    report(
        f"biggest room, of {total} lines: {room}", f"{lines / total:.1%}",
        f"{ROOM_SHARE_MAX:.0%}", lines / total <= ROOM_SHARE_MAX,
        [f"{name} {count / total:.1%}" for name, count in rooms.most_common(6)])
    large = [f"{name} ({path}): {count}" for path, code in codes.items()
             for name, count in stored_vars(code) if count > STORED_VARS_MAX]
    report("classes with more stored vars than 12", len(large), 0, not large, large)
    every = [(path, *entry) for path, code in codes.items() for entry in functions(code)]
    wide = [f"{name} ({path}): {count}" for path, name, count, _ in every
            if count > PARAMETERS_MAX]
    report("functions with more parameters than 7", len(wide), 0, not wide, wide)
    lengths = sorted(length for *_, length in every)
    p90 = lengths[len(lengths) * 9 // 10]
    report(f"lines of a function, p90 of {len(lengths)}", p90, FUNCTION_LINES_P90_MAX,
           p90 <= FUNCTION_LINES_P90_MAX,
           [f"median {lengths[len(lengths) // 2]}, largest {lengths[-1]}"])
    names, pairs = arrows()
    possible = len(names) * (len(names) - 1) // 2
    report(f"arrows between {len(names)} targets, of {possible}", f"{len(pairs) / possible:.1%}",
           f"{ARROW_SHARE_MAX:.0%}", len(pairs) / possible <= ARROW_SHARE_MAX)
    same = duplicates(sources)
    report("places that share ten lines with another file", len(same), 0, not same, same[:12])


if __name__ == "__main__":
    main()
