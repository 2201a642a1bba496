"""How the loops of this package are compiled: by numba, once on a machine, into a folder that its workers share.

numba's own cache knows a function by the text of the file in which it stands, and not by the functions that it calls in
other files. So the cache of this package lies in a folder that is named after the text of the whole package. numba
itself tells apart its versions, signatures and processors.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from filelock import FileLock, Timeout
from numba import config, njit, types

# Without Python's checks for division by zero; integers wrap, as everywhere in numba. No `fastmath`, and no order of
# sums that depends on the size of a vector, so every processor computes the same numbers. `_nrt`: without numba's
# runtime, so nothing is allocated and no references are counted. Counting made the kernel a fifth slower, since every
# call of an inner function counts its arrays; a loop that would allocate is refused when it is compiled.
FLAGS = {"error_model": "numpy", "_nrt": False}
WAIT = 120.0  # seconds for another process that compiles; it may be stopped for ever


def read(kind: Any, dimensions: int = 1) -> Any:
    """Return the type of an array that a loop only reads: it may lie in memory that cannot be written, as of a file."""
    return types.Array(kind, dimensions, "C", readonly=True)


def inner(function: Callable) -> Any:
    """Compile a function that loops of this package call: it becomes a part of them."""
    return njit(**FLAGS)(function)


def loop(*signatures: Any) -> Callable[[Callable], Any]:
    """Compile a function for these signatures, or load the compiled one; other threads run while it runs.

    With signatures a call never compiles: one with other types raises TypeError. Of processes that begin together on a
    machine that has not compiled the loop yet, one compiles and the others wait for it.
    """

    def compiled(function: Callable) -> Any:
        place = folder()
        done = place / f"{function.__module__}.{function.__name__}.compiled"
        before, config.CACHE_DIR = config.CACHE_DIR, str(place)
        try:
            with nullcontext() if done.exists() else alone(place):
                try:
                    dispatcher = njit(list(signatures), cache=True, nogil=True, **FLAGS)(function)
                except (EOFError, UnpicklingError):  # a file that a power failure has cut short
                    for path in place.rglob(f"{function.__module__.rpartition('.')[2]}.{function.__name__}-*"):
                        path.unlink(missing_ok=True)
                    dispatcher = njit(list(signatures), cache=True, nogil=True, **FLAGS)(function)
            done.touch()
            return dispatcher
        finally:
            config.CACHE_DIR = before

    return compiled


@contextmanager
def alone(place: Path) -> Iterator[None]:
    """Hold the lock of a folder, for which other processes wait: until it is free, or for `WAIT` seconds."""
    lock = FileLock(place / "lock", timeout=WAIT, is_singleton=False)
    with suppress(Timeout, OSError):  # a file system without locks: each process compiles for itself
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@cache
def folder() -> Path:
    """Return the folder of the compiled loops; create it where it is missing.

    It lies in `$NUMBA_CACHE_DIR`, else in the user's cache folder, else (a read-only home) with temporary files. It is
    not used when others can write to it, since what lies in it is run.
    """
    state = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        state.update(path.read_bytes())
    name = f"siftloom-loops-{state.hexdigest()[:16]}"
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    user = str(getattr(os, "getuid", lambda: "user")())
    for base in (config.CACHE_DIR, f"{home}/siftloom", f"{tempfile.gettempdir()}/siftloom-{user}"):
        if base and _is_ours(Path(base, name)):
            return Path(base, name)
    return Path(tempfile.mkdtemp())


def _is_ours(path: Path) -> bool:
    """Return whether this user can write to the folder and no other can."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.stat()
    except OSError:
        return False
    if os.name == "nt":
        return os.access(path, os.W_OK)
    others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return found.st_uid == os.getuid() and not others and os.access(path, os.W_OK)
