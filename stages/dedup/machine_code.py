"""`compiled`: a loop over arrays in machine code, kept on disk; plain Python where numba is not installed."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Loop = TypeVar("Loop", bound=Callable)

# Numba keeps its cache beside the source, else below the home directory, and raises when neither can be written.
if not os.access(Path(__file__).parent, os.W_OK):
    os.environ.setdefault("NUMBA_CACHE_DIR", f"{tempfile.gettempdir()}/siftloom-numba-{os.getuid()}")

JIT = {"cache": True, "nogil": True, "error_model": "numpy"}

try:
    from numba import njit
except ImportError:

    def compiled(loop: Loop) -> Loop:
        return loop

else:

    def compiled(loop: Loop) -> Loop:
        return njit(**JIT)(loop)
