"""A store served as `siftloom ui` serves it, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from command_line import environment


@contextmanager
def served(store: Path) -> Iterator[str]:
    """Yields the address that the command prints; ends the server behind it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "siftloom", "ui", str(store)], env=environment(), cwd=store,
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(30)
