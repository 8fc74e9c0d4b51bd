#!/usr/bin/env python3
"""Manual pages from what the commands say of themselves.

    man_pages.py --sluice PROGRAM --sluiced PROGRAM FOLDER

writes sluice.1, a page for each of its commands, and sluiced.8, from ArgumentParser's description
of `sluice` and from `sluiced --help`. Nothing is written here that a command does not say.
"""

import argparse
import json
import pathlib
import re
import subprocess


def escape(text):
    """Text as roff takes it: no escapes, no requests, hyphens that can be searched for."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join("\\&" + line if line[:1] in ".'" else line for line in text.split("\n"))


def page(name, section, summary, body, version):
    """A whole page, `body` in roff."""
    return "\n".join([
        f'.TH {name.upper()} {section} "" "Sluice {version}" "Sluice"',
        ".SH NAME", f"{escape(name)} \\- {escape(summary.rstrip('.'))}",
    ] + body) + "\n"


def option_names(argument):
    names = []
    for name in argument.get("names", []):
        dashes = "-" if name["kind"] == "short" else "--"
        names.append(f"\\fB{escape(dashes + name['name'])}\\fR")
    return ", ".join(names)


def describe(argument):
    """One argument as a tagged paragraph."""
    value = f"\\fI{escape(argument.get('valueName', ''))}\\fR"
    if argument["kind"] == "positional":
        tag = value
    elif argument["kind"] == "option":
        tag = f"{option_names(argument)} {value}"
    else:
        tag = option_names(argument)
    text = [escape(argument[key]) for key in ("abstract", "discussion") if argument.get(key)]
    return [".TP", tag, *(text or ["\\&"])]


def paragraphs(text):
    lines = []
    for part in text.split("\n\n"):
        lines += [".PP", escape(part)]
    return lines


def synopsis(path, arguments):
    words = [f"\\fB{escape(path)}\\fR"]
    if any(argument["kind"] != "positional" for argument in arguments):
        words.append("[\\fIoptions\\fR]")
    for argument in arguments:
        if argument["kind"] == "positional":
            word = f"\\fI{escape(argument['valueName'])}\\fR"
            word += " ..." if argument.get("isRepeating") else ""
            words.append(f"[{word}]" if argument["isOptional"] else word)
    return " ".join(words)


def command_pages(command, path, version, pages):
    """The pages of a command and of its own commands, by file name."""
    arguments = [one for one in command.get("arguments", []) if one.get("shouldDisplay", True)]
    children = [one for one in command.get("subcommands", []) if one["commandName"] != "help"]
    body = [".SH SYNOPSIS", synopsis(path, arguments)]
    if command.get("discussion"):
        body += [".SH DESCRIPTION", *paragraphs(command["discussion"])[1:]]
    for title, isPositional in (("ARGUMENTS", True), ("OPTIONS", False)):
        chosen = [one for one in arguments if (one["kind"] == "positional") == isPositional]
        if chosen:
            body += [f".SH {title}"] + [line for one in chosen for line in describe(one)]
    if children:
        body.append(".SH COMMANDS")
    for child in children:
        body += [".TP", f"\\fB{escape(child['commandName'])}\\fR",
                 escape(child.get("abstract", "\\&"))]
        command_pages(child, f"{path} {child['commandName']}", version, pages)
    body += [".SH SEE ALSO", "\\fBsluice\\fR(1), \\fBsluiced\\fR(8)"]
    name = path.replace(" ", "-")
    pages[f"{name}.1"] = page(name, 1, command.get("abstract", ""), body, version)


def daemon_page(text, version):
    """sluiced(8) from its help: an overview, a usage, and options in two columns."""
    overview = re.search(r"OVERVIEW: (.*)", text).group(1)
    usage = re.search(r"USAGE: (.*)", text).group(1)
    body = [".SH SYNOPSIS", escape(usage), ".SH OPTIONS"]
    for line in text[text.index("OPTIONS:"):].split("\n")[1:]:
        match = re.match(r"  (-\S.*?) {1,}([A-Z].*)$", line)
        if match:
            body += [".TP", f"\\fB{escape(match.group(1).strip())}\\fR", escape(match.group(2))]
    body += [".SH FILES", ".TP", "/etc/sluice/sluice.toml", "The profile; every key is explained.",
             ".TP", "/var/lib/sluice/models", "The service's library.",
             ".SH SEE ALSO", "\\fBsluice\\fR(1), \\fBsystemctl\\fR(1)"]
    return page("sluiced", 8, overview, body, version)


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sluice", required=True)
    parser.add_argument("--sluiced", required=True)
    parser.add_argument("folder", type=pathlib.Path)
    options = parser.parse_args()
    version = output_of(options.sluice, "--version").strip()
    described = json.loads(output_of(options.sluice, "--experimental-dump-help"))["command"]
    pages = {"sluiced.8": daemon_page(output_of(options.sluiced, "--help"), version)}
    command_pages(described, "sluice", version, pages)
    for name, text in pages.items():
        (options.folder / name).write_text(text)


main()
