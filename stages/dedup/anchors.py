"""Which members of a cluster stay: a row goes only for a kept row that it resembles.

Components join by chains: a resembles b, b resembles c, and c may share nothing with a. So the members are walked in
keep order. A row goes when its signature agrees with that of a row already kept (an anchor) in at least `min_jaccard`
of the places, and names that row; else it stays and is an anchor itself, up to `max_anchors` in a cluster. Copies with
the same words follow the first of them, wherever it goes, so a cluster of equal documents costs one comparison.
"""

import numpy as np

from stages.dedup.method import Verdict

BINS = 20  # of the estimate, in the tally of pairs


def needed(min_jaccard: float | None, places: int) -> int:
    """Return the smallest number of equal places whose share reaches `min_jaccard`; 0 without a check."""
    if min_jaccard is None:
        return 0
    return next(n for n in range(places + 2) if n / places >= min_jaccard)


def judge(
    starts: np.ndarray,
    order: np.ndarray,
    signatures: np.ndarray,
    exact: np.ndarray,
    *,
    min_jaccard: float | None = 0.6,
    max_anchors: int = 4096,
    bands: int = 14,
    rows: int = 8,
    pinned: np.ndarray | None = None,
) -> Verdict:
    """Walk each cluster and return the verdict on its members.

    starts      int64[clusters + 1]: where each cluster begins
    order       int64[n]: rank of each member; lower is kept first, ties go to the earlier position
    signatures  uint32[n, places]; exact uint64[n, 2]
    bands, rows  of the search, for the tally of pairs that share a band
    pinned      bool[n]: rows that stay whatever they resemble (those of an earlier corpus)
    """
    from stages.loops.clusters import greedy

    n = len(order)
    pinned = np.zeros(n, bool) if pinned is None else pinned
    cluster, leader = _leaders(starts, order, exact, pinned)
    walk = np.lexsort((np.arange(n), order, ~pinned, cluster))
    walk = walk[leader[walk] == walk]
    bounds = np.searchsorted(cluster[walk], np.arange(len(starts)))
    anchor, agreed = np.arange(n), np.zeros(n, np.int64)
    pairs = np.zeros((BINS, 2), np.int64)
    need = needed(min_jaccard, signatures.shape[1])
    anchors = np.empty(max(1, min(max_anchors, n)), np.int64)
    greedy(walk, bounds, signatures, pinned, need, bands, rows, anchors, anchor, agreed, pairs)

    follows = (leader != np.arange(n)) & ~pinned
    same = follows & (anchor[leader] == leader)
    anchor[follows] = anchor[leader[follows]]
    agreed[follows] = np.where(same[follows], signatures.shape[1], agreed[leader[follows]])
    stays = anchor == np.arange(n)
    estimate = np.where(stays, np.nan, agreed / signatures.shape[1]).astype(np.float32)
    return Verdict(anchor, estimate, same, pairs)


def judge_copies(starts: np.ndarray, order: np.ndarray, exact: np.ndarray, pinned: np.ndarray | None = None) -> Verdict:
    """Return the verdict on copies only: a row goes for the first kept row of its cluster with the same 128 bits."""
    n = len(order)
    pinned = np.zeros(n, bool) if pinned is None else pinned
    _, leader = _leaders(starts, order, exact, pinned)
    same = (leader != np.arange(n)) & ~pinned
    anchor = np.where(same, leader, np.arange(n))
    return Verdict(anchor, np.where(same, 1, np.nan).astype(np.float32), same, np.zeros((BINS, 2), np.int64))


def _leaders(
    starts: np.ndarray, order: np.ndarray, exact: np.ndarray, pinned: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return (cluster, position of the member's first copy in keep order) of every member; pinned rows come first."""
    n = len(order)
    cluster = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    copies = np.lexsort((np.arange(n), order, ~pinned, exact[:, 1], exact[:, 0], cluster))
    c, e = cluster[copies], exact[copies]
    leads = np.ones(n, bool)
    leads[1:] = (c[1:] != c[:-1]) | (e[1:] != e[:-1]).any(axis=1)
    leader = np.empty(n, np.int64)
    leader[copies] = copies[np.flatnonzero(leads)[np.cumsum(leads) - 1]] if n else copies
    return cluster, leader
