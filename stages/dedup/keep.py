"""Who stays: the keep rule orders a cluster, and a row goes only for a kept row that it resembles.

Components join by chains: a resembles b, b resembles c, and c may share nothing with a. So the members are
walked in keep order; a row goes when its sketch agrees with that of a row already kept (an anchor) in at
least `min_jaccard` of the places, and names that row; else it stays and is an anchor itself, up to
`max_anchors` in a cluster. Copies with the same words follow the first of them, wherever it goes, so a
cluster of equal documents costs one test.
"""

from dataclasses import dataclass

import numpy as np

from stages.loops.machine_code import Loop

BINS = 20  # of the estimate, in the tally of pairs


@Loop
def _greedy():
    from stages.loops.clusters import greedy

    return greedy


@dataclass(frozen=True)
class Verdict:
    """Of the members of the clusters, in the order given.

    anchor    int64[n]: position of the kept member it goes for; its own position = it stays
    estimate  float32[n]: share of places equal with the anchor; NaN where it stays
    same      bool[n]: it goes, and has exactly the anchor's words
    pairs     int64[BINS, 2]: (row, first row of its cluster) by estimate; of these, those that share a band
    """

    anchor: np.ndarray
    estimate: np.ndarray
    same: np.ndarray
    pairs: np.ndarray


def needed(min_jaccard: float | None, places: int) -> int:
    """The smallest number of equal places that makes the estimate reach `min_jaccard`; 0 without a check."""
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
    """Walk each cluster.

    starts      int64[clusters + 1]
    order       [n]: rank of each member, lower is kept first; ties go to the earlier position
    signatures  uint32[n, places]; exact uint64[n, 2]
    pinned      bool[n]: rows that stay whatever they resemble (those of an earlier corpus)
    """
    n = len(order)
    pinned = np.zeros(n, bool) if pinned is None else pinned
    cluster, leader = _leaders(starts, order, exact, pinned)
    walk = np.lexsort((np.arange(n), order, ~pinned, cluster))
    walk = walk[leader[walk] == walk]
    cuts = np.searchsorted(cluster[walk], np.arange(len(starts)))
    anchor, agreed = np.arange(n), np.zeros(n, np.int64)
    pairs = np.zeros((BINS, 2), np.int64)
    need = needed(min_jaccard, signatures.shape[1])
    anchors = np.empty(max(1, min(max_anchors, n)), np.int64)
    _greedy(walk, cuts, signatures, pinned, need, bands, rows, anchors, anchor, agreed, pairs)

    follows = (leader != np.arange(n)) & ~pinned
    same = follows & (anchor[leader] == leader)
    anchor[follows] = anchor[leader[follows]]
    agreed[follows] = np.where(same[follows], signatures.shape[1], agreed[leader[follows]])
    stays = anchor == np.arange(n)
    estimate = np.where(stays, np.nan, agreed / signatures.shape[1]).astype(np.float32)
    return Verdict(anchor, estimate, same, pairs)


def judge_copies(starts: np.ndarray, order: np.ndarray, exact: np.ndarray, pinned: np.ndarray | None = None) -> Verdict:
    """Copies only: a row goes for the first kept row of its cluster that has the same 128 bits."""
    n = len(order)
    pinned = np.zeros(n, bool) if pinned is None else pinned
    _, leader = _leaders(starts, order, exact, pinned)
    same = (leader != np.arange(n)) & ~pinned
    anchor = np.where(same, leader, np.arange(n))
    return Verdict(anchor, np.where(same, 1, np.nan).astype(np.float32), same, np.zeros((BINS, 2), np.int64))


def _leaders(
    starts: np.ndarray, order: np.ndarray, exact: np.ndarray, pinned: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(cluster, position of the first to keep of the copies in it) of every member; a pinned row leads any other."""
    n = len(order)
    cluster = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    copies = np.lexsort((np.arange(n), order, ~pinned, exact[:, 1], exact[:, 0], cluster))
    c, e = cluster[copies], exact[copies]
    leads = np.ones(n, bool)
    leads[1:] = (c[1:] != c[:-1]) | (e[1:] != e[:-1]).any(axis=1)
    leader = np.empty(n, np.int64)
    leader[copies] = copies[np.flatnonzero(leads)[np.cumsum(leads) - 1]] if n else copies
    return cluster, leader
