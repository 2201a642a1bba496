"""Equal keys into edges between rows: sort, a star per key, then a spanning forest of what the range joins.

A bucket of k rows gives k - 1 edges, never k^2, so a key that a million copies share costs a million rows.
The forest holds one edge (root, row) for every row that is not the smallest of its component here, in order
of row: a function of the set of (key, row) pairs alone, whatever order the files came in.
"""

import numpy as np

from stages.dedup.components import flatten, forest, union


def stars(keys: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(smallest row, another row) of every key that has two rows and more; keys uint64[m], rows[m]."""
    order = np.argsort(keys)
    keys, rows = keys[order], rows[order]
    new = np.ones(len(keys), bool)
    new[1:] = keys[1:] != keys[:-1]
    first = np.flatnonzero(new)
    size = np.diff(first, append=len(keys))
    shared = np.repeat(size > 1, size)
    if not shared.any():
        return rows[:0], rows[:0]
    rows, size = rows[shared], size[size > 1]
    hub = np.minimum.reduceat(rows, np.cumsum(size) - size)
    left = np.repeat(hub, size)
    joined = left != rows
    return left[joined], rows[joined]


def spanning_forest(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """edges[e, 2] (root, row): the components of the given edges, at most one edge per row."""
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
