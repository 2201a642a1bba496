"""`compiled`: a loop over arrays in machine code, kept on disk; plain Python where numba is not installed.

Numba knows a stored function by the file it stands in; what it calls, and the constants it was built with, may stand in
others. So the store is a folder named after the digest of all of them: changed code is never met with old machine code.
It lies in `$NUMBA_CACHE_DIR`, else in the user's cache folder, else (a read-only home) with temporary files.
"""

import gc
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TypeVar

# Every file whose text can change a compiled function.
SOURCES = (
    "components", "edges", "keep", "kernel", "lanes", "machine_code", "passage_kernel", "rows", "shingles", "tokenise"
)  # fmt: skip

Loop = TypeVar("Loop", bound=Callable)


@contextmanager
def no_collection():
    """Loading numba makes a million objects that stay; looking through them for garbage takes a sixth of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@contextmanager
def hidden(module: str):
    """Whoever imports it is told that it is not installed; one that is loaded already is not hidden."""
    hide = module not in sys.modules
    if hide:
        sys.modules[module] = None  # pyright: ignore[reportArgumentType]
    try:
        yield
    finally:
        if hide:
            sys.modules.pop(module, None)


try:
    with no_collection():
        from numba import config, njit
        from numba.np import linalg  # noqa: F401

        # This module looks for SciPy's BLAS to choose the inner loop of `np.correlate`; nothing else depends on what it
        # finds. Loading that takes as long as loading the machine code of this room.
        with hidden("scipy.linalg"):
            from numba.np import arraymath  # noqa: F401
except ImportError:

    def compiled(loop: Loop) -> Loop:
        return loop

else:

    def compiled(loop: Loop) -> Loop:  # pyright: ignore[reportRedeclaration]
        others = config.CACHE_DIR
        config.CACHE_DIR = folder()
        try:
            # Plain integer arithmetic: nothing here may depend on the order or the size of a vector.
            return njit(cache=True, nogil=True, error_model="numpy")(loop)
        finally:
            config.CACHE_DIR = others


@cache
def folder() -> str:
    """Where the machine code of this version of the room is kept."""
    state = hashlib.sha256()
    for name in SOURCES:
        state.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    name = f"siftloom-{state.hexdigest()[:16]}"
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    for base in (os.environ.get("NUMBA_CACHE_DIR"), f"{home}/siftloom"):
        if base and _can_write(Path(base, name)):
            return os.path.join(base, name)
    return os.path.join(tempfile.gettempdir(), f"{name}-{os.getuid()}")


def _can_write(path: Path) -> bool:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(path, os.W_OK)
