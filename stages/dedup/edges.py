"""Equal keys into edges between rows: sieve, sort, a star per key, then a spanning forest of what the range joins.

A bucket of k rows gives k - 1 edges, never k^2, so a key that a million copies share costs a million rows.
The forest holds one edge (root, row) for every row that is not the smallest of its component here, in order
of row: a function of the set of (key, row) pairs alone, whatever order the files came in.
"""

import numpy as np

from stages.dedup.components import flatten, forest, union
from stages.loops.machine_code import Loop

BLOCK = 1 << 20  # keys gathered at once
SPARSE = 8  # places of the sieve per key: about one in so many of the keys that occur once is let through


@Loop
def _mark_shared():
    from stages.loops.clusters import mark_shared

    return mark_shared


def may_repeat(keys: np.ndarray) -> np.ndarray:
    """bool[m]: True for every key that occurs more than once, and for few of the others; keys uint64[m].

    Most keys are of one document alone and join nothing. Counting them in a small table, by their low bits (the keys of
    one range agree in their high ones), costs a tenth of sorting them.
    """
    bits = max(16, int(max(len(keys), 1) * SPARSE - 1).bit_length())
    repeated = np.empty(len(keys), bool)
    _mark_shared(keys, np.zeros(1 << (bits - 5), np.uint64), np.uint64((1 << bits) - 1), repeated)
    return repeated


def stars(keys: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(smallest row, another row) of every key that has two rows and more; keys uint64[m], rows[m]."""
    some = may_repeat(keys)
    keys, rows = keys[some], rows[some]
    order = grouped(keys)
    same = _same_as_before(keys, order)
    shared = np.flatnonzero(same)
    if not len(shared):
        return rows[:0], rows[:0]
    first = shared[np.concatenate([[True], np.diff(shared) > 1])] - 1  # a run of equal keys begins one before
    same[first] = True
    shared = np.flatnonzero(same)
    start = np.searchsorted(shared, first)
    rows = rows[order[shared]]
    hub = np.repeat(np.minimum.reduceat(rows, start), np.diff(start, append=len(rows)))
    joined = hub != rows
    return hub[joined], rows[joined]


def grouped(keys: np.ndarray) -> np.ndarray:
    """int64[m]: positions in an order in which equal keys are neighbours.

    Sorting numbers is faster than sorting positions by them, so the low bits of a key make room for its position. Keys
    that then look alike and are not, few or none of them, are put in order by themselves.
    """
    low = np.uint64((1 << max(len(keys) - 1, 0).bit_length()) - 1)
    packed = (keys & ~low) | np.arange(len(keys), dtype=np.uint64)
    packed.sort()
    order = (packed & low).astype(np.int64)
    alike = (packed[1:] & ~low) == (packed[:-1] & ~low)
    mixed = np.flatnonzero(alike & ~_same_as_before(keys, order)[1:])
    if len(mixed):
        run = np.concatenate([[0], np.cumsum(~alike)])
        places = np.flatnonzero(np.isin(run, run[mixed]))
        inside = order[places]
        order[places] = inside[np.lexsort((keys[inside], run[places]))]
    return order


def _same_as_before(keys: np.ndarray, order: np.ndarray) -> np.ndarray:
    """bool[m]: in sorted order, the key is that of the one before. In blocks: a sorted copy would be large."""
    same = np.zeros(len(keys), bool)
    for first in range(1, len(keys), BLOCK):
        block = keys[order[first - 1 : first + BLOCK]]
        same[first : first + BLOCK] = block[1:] == block[:-1]
    return same


def _distinct(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The edges once each, in order: a pair that shares many keys has as many. Wide row numbers are left alone."""
    if left.dtype != np.uint32:
        return left, right
    both = (left.astype(np.uint64) << np.uint64(32)) | right
    both.sort()
    both = both[np.concatenate([[True], both[1:] != both[:-1]])] if len(both) else both
    return (both >> np.uint64(32)).astype(np.uint32), both.astype(np.uint32)


def spanning_forest(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """edges[e, 2] (root, row): the components of the given edges, at most one edge per row."""
    left, right = _distinct(left, right)
    members = np.sort(np.concatenate([left, right]))
    members = members[np.concatenate([[True], members[1:] != members[:-1]])] if len(members) else members
    parent = forest(len(members))
    union(parent, np.searchsorted(members, left), np.searchsorted(members, right))
    flatten(parent)
    child = parent != np.arange(len(parent), dtype=parent.dtype)
    return np.stack([members[parent[child]], members[child]], axis=1)


def range_edges(keys: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The spanning forest of one key range: edges[e, 2] of the type of `rows`."""
    return spanning_forest(*stars(keys, rows))
