"""The area under the ROC curve, by ranks (Mann and Whitney 1947)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def auc(good: np.ndarray, bad: np.ndarray) -> float | None:
    """The chance that a good document scores above a bad one, ties half; None when one side is empty."""
    import numpy as np

    if not len(good) or not len(bad):
        return None
    _, inverse, counts = np.unique(np.concatenate([good, bad]), return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2  # mean rank of each distinct value, from 1
    above = ranks[inverse[: len(good)]].sum() - len(good) * (len(good) + 1) / 2
    return float(above / (len(good) * len(bad)))
