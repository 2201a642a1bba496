"""The repeated n-grams of the documents of a batch, counted; `stages/loops/repeats.py` says how."""

from __future__ import annotations

import numpy as np

from stages.clean.pieces import Pieces


def repeated(cut: Pieces, n: int, worth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(pieces, their characters) in n-grams that came before, both int64 [D]; 0 where `worth`, bool [D], is false."""
    from stages.loops import repeats

    found, chars = np.zeros((2, len(worth)), np.int64)
    repeats.repeated(cut.ids, cut.lengths, cut.offsets, n, worth, found, chars, _table(cut))
    return found, chars


def top(cut: Pieces, n: int, worth: np.ndarray) -> np.ndarray:
    """Characters of all occurrences of the most frequent n-gram, int64 [D]; 0 where `worth`, bool [D], is false."""
    from stages.loops import repeats

    chars = np.zeros(len(worth), np.int64)
    repeats.top(cut.ids, cut.lengths, cut.offsets, n, worth, chars, _table(cut), _table(cut))
    return chars


def _table(cut: Pieces) -> np.ndarray:
    """Scratch: a power of two places, two for each piece of the longest document."""
    return np.empty(1 << max(4, int(2 * cut.counts.max(initial=0) - 1).bit_length()), np.int32)
