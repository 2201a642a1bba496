"""How well ranked lists and orders agree with what is right: nDCG, reciprocal rank, recall, Spearman's correlation.

Letters: q queries, n documents.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np


class Ranks(NamedTuple):
    """Of one query: float64 each, with one relevance for all that is relevant (Järvelin and Kekäläinen 2002)."""

    ndcg: float
    reciprocal: float
    recall_1: float
    recall: float


def ranks(scores_n: np.ndarray, relevant_n: np.ndarray, depth: int) -> Ranks:
    """Of the first `depth` documents in falling order of the score; of equal scores the earlier document is first."""
    import numpy as np

    first = np.argsort(-scores_n, kind="stable")[:depth]
    hits = relevant_n[first].astype(np.float64)
    gains = 1.0 / np.log2(np.arange(2, depth + 2))
    count = int(relevant_n.sum())
    best = gains[: min(count, depth)].sum()
    found = np.flatnonzero(hits)
    return Ranks(
        float((hits * gains[: len(hits)]).sum() / best),
        1.0 / (1 + int(found[0])) if found.size else 0.0,
        float(hits[:1].sum() / count),
        float(hits.sum() / count),
    )


def spearman(one: np.ndarray, other: np.ndarray) -> float:
    """The correlation of the ranks of two lists of numbers; equal numbers share the mean of their ranks. NaN where one
    of them does not vary.
    """
    import numpy as np

    a, b = (_mean_ranks(values) for values in (one, other))
    a, b = a - a.mean(), b - b.mean()
    spread = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum() / spread) if spread else float("nan")


def _mean_ranks(values: np.ndarray) -> np.ndarray:
    import numpy as np

    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = counts.cumsum()
    return (ends - (counts - 1) / 2.0)[place]
