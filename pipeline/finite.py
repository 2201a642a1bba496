"""Numbers of others, taken or refused: the one check at every door where numbers come in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline.errors import DataError

if TYPE_CHECKING:
    import numpy as np

LARGEST = 1e30  # float32 ends at 3.4e38, and a sum over a corpus needs room; no measure of a text comes near it


def finite(
    values: np.ndarray,
    place: str,
    name: Callable[[int], str],
    least: float = -LARGEST,
    most: float = LARGEST,
    none: np.ndarray | None = None,
) -> np.ndarray:
    """Return the numbers, [rows] or [rows, width]. Raises DataError for the first that is NaN or out of the bounds, by
    the name of its row. Rows of `none` have no number and are not looked at.
    """
    import numpy as np

    wrong = ~((values >= least) & (values <= most))  # NaN is neither
    if none is not None:
        wrong[none] = False
    if wrong.any():
        at = tuple(map(int, np.unravel_index(wrong.argmax(), wrong.shape)))
        value, number = float(values[at]), int(wrong.sum())
        found = f"{name(at[0])} is {'NaN' if value != value else f'{value:g}'}"
        found += f" at place {at[1]}" if len(at) > 1 else ""
        found += f", and {number - 1:,} more are wrong" if number > 1 else ""
        raise DataError(place, found, f"a number from {least:g} to {most:g}")
    return values
