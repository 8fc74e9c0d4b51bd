#!/usr/bin/env python3
"""The daemon's web page in a headless Chromium.

    page_test.py SOCKET [--token TOKEN]

SOCKET is that of a running daemon with a model that can chat. Carries TCP from a port of the
loopback address to it, opens the page, chats, stops an answer, begins anew, and looks at what the
page shows. Needs Chromium and the Python package playwright: without them it says so and ends
with 0.
"""
import argparse
import shutil
import socket
import sys
import threading

failures = 0


def check(name, passed, detail=""):
    """Prints a line, and counts it where it failed."""
    global failures
    failures += not passed
    print(f"{'ok  ' if passed else 'FAIL'} {name}{'' if passed else f': {detail}'}", flush=True)


def carry(source, target):
    """Bytes from one socket to another, until one of them ends."""
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass
    for one in (source, target):
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def bridge(path):
    """A port whose connections lead to the socket."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept():
        while True:
            client, _ = listener.accept()
            daemon = socket.socket(socket.AF_UNIX)
            daemon.connect(path)
            for pair in ((client, daemon), (daemon, client)):
                threading.Thread(target=carry, args=pair, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def last_note(page):
    return page.locator("#chat > .assistant small").last.inner_text()


def finish(page):
    """Waits until no answer is under way."""
    page.locator("#send").wait_for(state="visible", timeout=60000)


def send(page, text):
    page.locator("#text").fill(text)
    page.locator("#text").press("Enter")


def chat(page):
    page.locator("#model option").first.wait_for(state="attached")
    check("models are listed", page.locator("#model option").count() >= 1)
    send(page, "What is <b>curl</b>?")
    finish(page)
    check("what was asked is text, not markup",
          page.locator("#chat > .user").inner_text() == "What is <b>curl</b>?")
    answer = page.locator("#chat > .assistant > span").last.inner_text()
    check("an answer comes", len(answer) > 0)
    note = last_note(page)
    check("it says what it took", "tokens/s" in note and "from flash" in note, note)
    send(page, "And what is a shell?")
    finish(page)
    note = last_note(page)
    check("the next one finds its beginning again", "(0 found again)" not in note, note)
    page.wait_for_timeout(2500)
    now = page.locator("#now").inner_text()
    check("the budget is shown", "memory" in now and "MiB" in now, now)
    check("by purpose", page.locator("#budget i").count() > 3)
    check("the model is in memory",
          "in memory" in page.locator("#model option").first.inner_text())


def stop(page):
    page.locator("#new").click()
    check("a new chat is empty", page.locator("#chat > div").count() == 0)
    send(page, "Tell me all about the shell, at length.")
    page.wait_for_function(
        "document.querySelector('#chat > .assistant > span')?.textContent.length > 5")
    if page.locator("#stop").is_visible():
        page.locator("#stop").click()
    finish(page)
    check("an answer can be stopped", page.locator("#text").is_enabled())
    page.locator("#text").fill("")
    page.locator("#text").press("Enter")
    check("nothing is asked without a text", page.locator("#chat > .user").count() == 1)


def visit(browser, port, token):
    page = browser.new_page()
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda said: said.type == "error" and problems.append(said.text))
    foreign = []
    page.on("request", lambda asked: f"127.0.0.1:{port}" in asked.url
            or asked.url.startswith("data:") or foreign.append(asked.url))
    page.goto(f"http://127.0.0.1:{port}/")
    if token:
        page.locator("#secret").wait_for(state="visible")
        check("a token is asked for", True)
        page.locator("#token").fill(token)
        page.locator("#token").press("Tab")
        problems.clear()
    chat(page)
    stop(page)
    check("the page has no errors", not problems, problems)
    check("it asks nobody else", not foreign, foreign)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("socket")
    parser.add_argument("--token")
    options = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        chromium = None
    if not chromium:
        return print("skipped: the web page (no Chromium, or no Python package playwright)")
    port = bridge(options.socket)
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        visit(browser, port, options.token)
        browser.close()
    print(f"{failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
