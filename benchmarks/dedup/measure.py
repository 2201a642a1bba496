"""CPU seconds and memory of a command, its children included."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Measured:
    """cpu, wall: seconds; peak: bytes, the largest process; said: the JSON object on its last line of output."""

    cpu: float
    wall: float
    peak: int
    said: dict[str, Any]


class Failed(Exception):
    """The command did not end well."""


def command(
    arguments: list[str], log: Path, environment: dict[str, str] | None = None, limit: float = 1800
) -> Measured:
    """Run it with one thread per library; its CPU is that of all its processes that it waited for."""
    threads = {
        name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
    }
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as file:
        start = time.perf_counter()
        process = subprocess.Popen(
            arguments,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, **threads, **(environment or {})},
            start_new_session=True,  # some are killed with all that they started
        )
        timer = threading.Timer(limit, _end, [process.pid])
        timer.start()
        try:
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:  # interrupted: what was started must not go on
            _end(process.pid)
            raise
        finally:
            timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - start
    text = log.read_text(errors="replace").strip()
    if process.returncode:
        raise Failed(f"exit code {process.returncode}; {log}: {text[-300:]}")
    said = next((line for line in reversed(text.splitlines()) if line.startswith("{")), "{}")
    return Measured(used.ru_utime + used.ru_stime, wall, used.ru_maxrss * 1024, json.loads(said))


def _end(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


class Everywhere:
    """CPU seconds of all processes with a mark in their environment, which daemons and their children inherit: as they
    were last seen, so that what a process does in its last half second may be missing.
    """

    def __init__(self) -> None:
        self.mark = f"MEASURED_{os.urandom(8).hex()}"
        self._seen: dict[str, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Everywhere:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def cpu(self) -> float:
        return sum(self._seen.values())

    def _watch(self) -> None:
        ours: dict[str, bool] = {}
        while not self._ended.wait(0.5):
            for folder in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):  # it has ended
                    fields = (folder / "stat").read_text().rpartition(")")[2].split()
                    name = f"{folder.name}/{fields[19]}"  # with the time of its start
                    if name not in ours or not ours[name]:  # a process has its parent's environment until it is its own
                        ours[name] = self.mark.encode() in (folder / "environ").read_bytes()
                    if ours[name]:
                        self._seen[name] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def best(rounds: Iterable[Measured]) -> Measured:
    """The one that took the least CPU."""
    return min(rounds, key=lambda made: made.cpu)


def module(name: str, *arguments: str, log: Path, environment: dict[str, str] | None = None) -> Measured:
    """One of our own modules, in a fresh interpreter."""
    return command([sys.executable, "-m", name, *arguments], log, environment)
