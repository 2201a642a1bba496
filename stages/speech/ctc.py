"""The one rule by which frames become a sequence of units: equal neighbours are one, and then blanks go.

In this order `[1, blank, 1]` is two units. It is the rule of CTC (Graves et al. 2006), and the teacher's targets, the
student's sequences and the distances between them all follow it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def merged(labels: np.ndarray, blank: int | None) -> np.ndarray:
    """The sequence of the labels of frames. `blank` is the label that stands for no unit; None where there is none."""
    import numpy as np

    first = np.ones(len(labels), bool)
    first[1:] = labels[1:] != labels[:-1]
    kept = labels[first]
    return kept if blank is None else kept[kept != blank]


def frames_needed(units: np.ndarray) -> int:
    """The fewest frames that can stand for a sequence: equal neighbours need a blank between them."""
    return len(units) + int((units[1:] == units[:-1]).sum())
