"""Runs a program on a terminal that takes no more output, as after Ctrl-S. Prints its process id, then its exit code."""

import os
import pty
import subprocess
import sys

screen, terminal = pty.openpty()
os.set_blocking(terminal, False)
try:
    while True:
        os.write(terminal, b"x" * 512 + b"\n")
except BlockingIOError:
    pass
os.set_blocking(terminal, True)
program = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=terminal)
print(program.pid, flush=True)
print(program.wait(), flush=True)
