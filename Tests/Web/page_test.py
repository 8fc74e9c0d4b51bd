#!/usr/bin/env python3
"""The daemon's web page in a headless Chromium.

    page_test.py SOCKET [--token TOKEN]

SOCKET is that of a running daemon with a model that can chat. Carries TCP from a port of the
loopback address to it, opens the page, chats, stops an answer, begins anew, and looks at what the
page shows. Without Chromium it says so and ends with 0.
"""
import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "Clients"))
from client_checks import bridge, check, ending  # noqa: E402
import chromium  # noqa: E402


def send(page, text):
    page.type("#text", text, "Enter")


def finish(page):
    """Waits until no answer is under way."""
    page.wait(page.shows("#send"))


def chat(page):
    page.wait("document.querySelectorAll('#model option').length > 0")
    check("models are listed", page.count("#model option") >= 1)
    send(page, "What is <b>curl</b>?")
    finish(page)
    asked = page.text("#chat > .user")
    check("what was asked is text, not markup", asked == "What is <b>curl</b>?", asked)
    check("an answer comes", len(page.text("#chat > .assistant > span")) > 0)
    note = page.text("#chat > .assistant small")
    check("it says what it took", "tokens/s" in note and "from flash" in note, note)
    send(page, "And what is a shell?")
    finish(page)
    note = page.text("#chat > .assistant small")
    check("the next one finds its beginning again", "(0 found again)" not in note, note)
    page.wait("document.querySelector('#now').innerText.includes('MiB')"
              " && document.querySelectorAll('#budget i').length > 3")
    now = page.text("#now")
    check("the budget is shown", "memory" in now, now)
    page.wait("document.querySelector('#model option').innerText.includes('in memory')")
    check("the model is in memory", True)


def stop(page):
    page.click("#new")
    check("a new chat is empty", page.count("#chat > div") == 0)
    send(page, "Tell me all about the shell, at length.")
    page.wait("document.querySelector('#chat > .assistant > span')?.textContent.length > 5")
    page.click("#stop")  # Where the answer has ended by now, nothing is stopped.
    finish(page)
    check("an answer can be stopped", page.ask("!document.querySelector('#text').disabled"))
    send(page, "")
    check("nothing is asked without a text", page.count("#chat > .user") == 1)


def visit(page, port, token):
    home = f"http://127.0.0.1:{port}/"
    page.open(home)
    if token:
        page.wait(page.shows("#secret"))
        check("a token is asked for", True)
        page.type("#token", token, "Tab")
    chat(page)
    stop(page)
    foreign = [url for url in page.requests if not url.startswith((home, "data:"))]
    # Asked without the token at first.
    problems = [one for one in page.problems if not (token and "401" in one)]
    check("the page has no errors", not problems, problems)
    check("it asks nobody else", page.requests and not foreign, foreign)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("socket")
    parser.add_argument("--token")
    options = parser.parse_args()
    program = chromium.program()
    if not program:
        print("skipped: the web page (no Chromium)")
        return 0
    page = chromium.Page(program)
    try:
        visit(page, bridge(options.socket), options.token)
    except RuntimeError as error:
        check("the page does what it should", False, error)
    finally:
        page.close()
    return ending()


if __name__ == "__main__":
    sys.exit(main())
