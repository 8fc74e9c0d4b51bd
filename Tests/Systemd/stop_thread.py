#!/usr/bin/env python3
"""Stops one thread of a process, and none of the others: stop_thread.py PID NAME"""

import ctypes
import os
import sys

PTRACE_SEIZE, PTRACE_INTERRUPT = 0x4206, 0x4207
WAIT_ALL = 0x40000000


def main() -> None:
    process, name = sys.argv[1:]
    threads = f"/proc/{process}/task"
    libc = ctypes.CDLL(None, use_errno=True)
    for thread in os.listdir(threads):
        with open(f"{threads}/{thread}/comm", encoding="utf-8") as file:
            if file.read().strip() != name:
                continue
        for request in (PTRACE_SEIZE, PTRACE_INTERRUPT):
            if libc.ptrace(request, int(thread), None, None) != 0:
                sys.exit(f"ptrace: {os.strerror(ctypes.get_errno())}")
        print(f"stopped {name} ({thread})", flush=True)
        # Its stop, and its end: nobody else may take a traced thread's.
        while not os.WIFSIGNALED(status := os.waitpid(int(thread), WAIT_ALL)[1]):
            if os.WIFEXITED(status):
                break
        return
    sys.exit(f"no thread {name}")


main()
