"""What the clients' scripts share: checks that are counted, the HTTP library, and a bridge for
clients that know TCP alone."""

import select
import socket
import threading

try:
    import httpx2 as httpx  # What newer versions of some clients are built on.
except ImportError:
    try:
        import httpx
    except ImportError:
        httpx = None

__all__ = ["bridge", "check", "ending", "httpx"]

failures = 0


def check(name, passed, detail=""):
    """Prints a line, and counts it where it failed."""
    global failures
    failures += not passed
    print(f"{'ok  ' if passed else 'FAIL'} {name}{'' if passed else f': {detail}'}", flush=True)


def ending():
    """Says how many checks failed. The exit status is 1 when any did."""
    print(f"{failures} failed")
    return 1 if failures else 0


def bridge(path):
    """Passes connections to a port of this machine alone on to a Unix socket; returns the port."""
    listening = socket.create_server(("127.0.0.1", 0))

    def carry(near):
        with near, socket.socket(socket.AF_UNIX) as far:
            far.connect(path)
            other = {near: far, far: near}
            while True:
                for ready in select.select([near, far], [], [])[0]:
                    data = ready.recv(1 << 16)
                    if not data:
                        return
                    other[ready].sendall(data)

    def serve():
        while True:
            near, _ = listening.accept()
            threading.Thread(target=carry, args=(near,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return listening.getsockname()[1]
