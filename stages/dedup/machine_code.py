"""`compiled`: a loop over arrays in machine code, kept on disk; plain Python where numba is not installed."""

from collections.abc import Callable
from typing import TypeVar

Loop = TypeVar("Loop", bound=Callable)

try:
    from numba import njit
except ImportError:

    def compiled(loop: Loop) -> Loop:
        return loop

else:

    def compiled(loop: Loop) -> Loop:
        return njit(cache=True, nogil=True, error_model="numpy")(loop)
