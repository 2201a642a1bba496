"""The error of a driver that Ray's core ends: where the raylet or the head is gone, the core leaves the process.

No line of Python runs then, so the driver cannot print an error. A small process beside it waits for its end, and
prints the error where the driver has not said goodbye.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import subprocess
import sys

from pipeline.safe_text import visible

# It has the interpreter alone, since it is started in every run. A line of its input is a JSON value: the words from
# now on, "" for those it began with, null for a driver that ends by itself.
PROGRAM = """
import json, os, signal, sys
for number in (signal.SIGINT, signal.SIGTERM):  # of the whole group: the driver drains
    signal.signal(number, signal.SIG_IGN)
raylet, words = sys.argv[1:]
said = ""
for line in sys.stdin:
    said = json.loads(line)
def dead():
    try:
        with open(f"/proc/{raylet}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return os.path.exists("/proc/self")
if said or (said == "" and dead()):
    os.write(2, f"error: {said or words}\\n".encode())
"""


class LastWords:
    """Says `words` where the driver ends without a word of its own and the raylet is dead, and others where it was
    told others.
    """

    def __init__(self, raylet: int, words: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", PROGRAM, str(raylet), visible(words)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, bufsize=0,
        )  # fmt: skip
        atexit.register(self.end)  # after Ray's own, so before it: what Ray does at the end may end the process

    def change(self, words: str) -> None:
        """Say these, whether or not the raylet is dead; "" takes them back."""
        self._send(visible(words))

    def end(self) -> None:
        """Say nothing: the driver goes on without Ray, or ends by itself."""
        atexit.unregister(self.end)
        self._send(None)
        if self._process.stdin is not None:
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)

    def _send(self, words: str | None) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # it was killed, or is closed: nobody can be told
            self._process.stdin.write(json.dumps(words).encode() + b"\n")
