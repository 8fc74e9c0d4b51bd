#!/usr/bin/env python3
"""Write docs/architecture.svg: a request's way through Sluice, its three execution domains and the
memory budget. Standard library only: scripts/architecture_svg.py [OUT.svg]
"""

import pathlib
import sys
from html import escape

WIDTH, HEIGHT = 980, 640
FONT = "font-family='system-ui, -apple-system, Segoe UI, Roboto, DejaVu Sans, sans-serif'"
SUBTITLE = "weights stay on flash; what a step needs is read into slots inside the budget"
INK, QUIET, PAPER = "#1f2933", "#5b6773", "#ffffff"

# The three execution domains: title, left, top, width, height, fill, edge.
DOMAINS = [
    ("async/await", 206, 84, 750, 104, "#eaf2fb", "#2f6fb2"),
    ("engine thread", 206, 216, 750, 270, "#eef7ee", "#3b8a4a"),
    ("compute team", 456, 342, 220, 104, "#fdf3e4", "#c27a1a"),
]

# name: (left, top, width, height, title, detail)
BOXES = {
    "client": (24, 108, 118, 64, "client", "curl, SDK, sluice"),
    "http": (226, 108, 180, 64, "HTTPInterface", "routes, SSE, NDJSON"),
    "text": (476, 108, 180, 64, "Tokenization", "template, tokens, UTF-8"),
    "daemon": (726, 108, 180, 64, "Service", "systemd, library, metrics"),
    "scheduler": (226, 246, 180, 64, "Scheduler", "sessions, admission"),
    "transformer": (476, 246, 180, 64, "Transformer", "graph, Router, KVCache"),
    "sampler": (726, 246, 180, 64, "Sampler", "logits to a token"),
    "cache": (226, 354, 180, 64, "BundleCache", "slots, who stays"),
    "kernels": (476, 354, 180, 64, "Kernels", "SIMD over leased bundles"),
    "reader": (726, 354, 180, 64, "FlashReader", "io_uring, O_DIRECT"),
    "flash": (706, 516, 220, 48, "flash", "NAME.sluice, in reading order"),
}

# Straight ones: from, to, label, both ways.
ARROWS = [
    ("client", "http", "socket", True),
    ("http", "text", "text", True),
    ("http", "scheduler", "tokens in", False),
    ("scheduler", "transformer", "StepPlan", False),
    ("transformer", "sampler", "logits", False),
    ("transformer", "kernels", "rows", False),
    ("cache", "kernels", "leases", True),
    ("flash", "reader", "extents", False),
]

# The budget's terms and their share of the bar, for show.
BUDGET = [
    ("process", 7, "#9aa5b1"),
    ("resident weights", 24, "#2f6fb2"),
    ("bundle slots", 34, "#3b8a4a"),
    ("KV pages", 14, "#c27a1a"),
    ("activations", 9, "#8a5fb0"),
    ("I/O", 6, "#b0455a"),
    ("margin", 6, "#d5dbe1"),
]


def text(x, y, words, size=13, weight="normal", fill=INK, anchor="middle"):
    return (
        f"<text x='{x}' y='{y}' font-size='{size}' font-weight='{weight}' fill='{fill}' "
        f"text-anchor='{anchor}'>{escape(words)}</text>"
    )


def domain(title, left, top, width, height, fill, edge):
    yield (
        f"<rect x='{left}' y='{top}' width='{width}' height='{height}' rx='12' fill='{fill}' "
        f"stroke='{edge}' stroke-opacity='0.45'/>"
    )
    if title == "compute team":
        yield text(left + width / 2, top + height - 10, title, 12, "600", edge)
    else:
        yield text(left + width - 14, top + 17, title, 12, "600", edge, "end")


def box(left, top, width, height, title, detail):
    yield (
        f"<rect x='{left}' y='{top}' width='{width}' height='{height}' rx='8' fill='{PAPER}' "
        f"stroke='{INK}' stroke-width='1.2'/>"
    )
    middle = left + width / 2
    yield text(middle, top + height / 2 - 4, title, 15, "600")
    yield text(middle, top + height / 2 + 15, detail, 12, fill=QUIET)


def line(points, label="", at=None, both=False, anchor="middle"):
    path = " ".join(f"{'L' if i else 'M'}{x},{y}" for i, (x, y) in enumerate(points))
    start = "marker-start='url(#start)' " if both else ""
    yield (
        f"<path d='{path}' fill='none' stroke='{INK}' stroke-width='1.5' {start}"
        "marker-end='url(#end)'/>"
    )
    if label:
        yield text(at[0], at[1], label, 11, fill=QUIET, anchor=anchor)


def edges(name):
    left, top, width, height = BOXES[name][:4]
    return left, top, left + width, top + height


def arrow(start, end, label, both):
    """A straight arrow between two boxes that are side by side or one above the other."""
    l1, t1, r1, b1 = edges(start)
    l2, t2, r2, b2 = edges(end)
    if r1 <= l2:
        y = (t1 + b1) / 2
        yield from line([(r1 + 4, y), (l2 - 4, y)], label, ((r1 + l2) / 2, y - 7), both)
        return
    x = (l1 + r1) / 2
    points = [(x, b1 + 4), (x, t2 - 4)] if b1 <= t2 else [(x, t1 - 4), (x, b2 + 4)]
    middle = (points[0][1] + points[1][1]) / 2
    yield from line(points, label, (x + 8, middle + 4), both, "start")


def bent_arrows():
    """What the Transformer needs next, what the cache misses, and the token on its way out."""
    yield from line([(500, 314), (500, 332), (316, 332), (316, 350)], "demand", (441, 327))
    yield from line(
        [(316, 422), (316, 458), (780, 458), (780, 422)],
        "misses as ReadRequests; what is read lands in its slot and is computed on there",
        (548, 474),
        both=True,
    )
    yield from line([(816, 242), (816, 202), (566, 202), (566, 176)])
    yield text(691, 198, "TokenEvent: text as it comes", 11, fill=QUIET)


def budget(left, top, width, height):
    words = "One hard budget (--memory): its terms are summed before anything loads, and hold after"
    yield text(left, top - 9, words, 12.5, "600", anchor="start")
    x = left
    for name, share, fill in BUDGET:
        part = width * share / 100
        dark = name != "margin"
        yield f"<rect x='{x:.1f}' y='{top}' width='{part:.1f}' height='{height}' fill='{fill}'/>"
        size = 12 if part > 80 else 10
        if part > 34:
            yield text(
                round(x + part / 2, 1),
                top + height / 2 + 4,
                name,
                size,
                fill=PAPER if dark else INK,
            )
        x += part
    yield (
        f"<rect x='{left}' y='{top}' width='{width}' height='{height}' rx='4' fill='none' "
        f"stroke='{INK}' stroke-width='1.2'/>"
    )


def drawing():
    yield (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' {FONT} "
        "role='img' aria-label=\"A request's way through Sluice\">"
    )
    yield "<defs>"
    for name, orient in (("end", "auto"), ("start", "auto-start-reverse")):
        yield (
            f"<marker id='{name}' viewBox='0 0 10 10' refX='8' refY='5' markerWidth='7' "
            f"markerHeight='7' orient='{orient}'><path d='M0,0 L10,5 L0,10 z' fill='{INK}'/>"
            "</marker>"
        )
    yield "</defs>"
    yield f"<rect width='{WIDTH}' height='{HEIGHT}' fill='{PAPER}'/>"
    yield text(24, 40, "A request's way through Sluice", 20, "700", anchor="start")
    yield text(24, 60, SUBTITLE, 13, fill=QUIET, anchor="start")
    for values in DOMAINS:
        yield from domain(*values)
    for values in BOXES.values():
        yield from box(*values)
    for values in ARROWS:
        yield from arrow(*values)
    yield from bent_arrows()
    yield from budget(24, 590, 932, 28)
    yield "</svg>"


def main():
    default = pathlib.Path(__file__).resolve().parent.parent / "docs/architecture.svg"
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else default
    out.write_text("\n".join(part for part in drawing() if part) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
