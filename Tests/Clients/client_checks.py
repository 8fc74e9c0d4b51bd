"""What the official clients' scripts share: checks that are counted, and the HTTP library."""

try:
    import httpx2 as httpx  # What newer versions of some clients are built on.
except ImportError:
    import httpx

__all__ = ["check", "ending", "httpx"]

failures = 0


def check(name, passed, detail=""):
    """Prints a line, and counts it where it failed."""
    global failures
    failures += not passed
    print(f"{'ok  ' if passed else 'FAIL'} {name}{'' if passed else f': {detail}'}")


def ending():
    """Says how many checks failed. The exit status is 1 when any did."""
    print(f"{failures} failed")
    return 1 if failures else 0
