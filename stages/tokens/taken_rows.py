"""Some packed rows as arrays, and where in them there is something to predict."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class TakenRows(NamedTuple):
    """Some packed rows, n of T + 1 tokens.

    ids         int64 [n, T+1]
    used        int64 [n], tokens of each row that are no filling
    log_priors  float32 [n], the carried `log_prior` (of the mean weight of the row's tokens), 0 without one
    segments    int64 [n, T+1]: the first piece of a row is 1, the next one 2, and so on; filling is 0. The tail of a
                document that was cut is a piece like any other
    learned     bool [n, T+1], which tokens are learned, or None: all
    """

    ids: np.ndarray
    used: np.ndarray
    log_priors: np.ndarray
    segments: np.ndarray
    learned: np.ndarray | None


def has_label(segments: np.ndarray, learned: np.ndarray | None = None) -> np.ndarray:
    """Where a token is followed by one of its own piece that is learned, bool [n, T]: everywhere else there is nothing
    to predict.
    """
    followed = (segments[:, 1:] == segments[:, :-1]) & (segments[:, 1:] > 0)
    return followed if learned is None else followed & learned[:, 1:]
