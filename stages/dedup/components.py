"""Connected components over dense row numbers: one union-find array; the smallest row names a component.

The larger root is always linked under the smaller, so a parent is never above its child, the result is the
same for any order of the edges, and one ascending sweep flattens the array. Memory is the array: 4 bytes a
row (8 from 2^32 - 1 rows). Source: Tarjan, "Efficiency of a good but not linear set union algorithm", 1975;
path halving: van Leeuwen and Tarjan 1984.
"""

import numpy as np

from stages.dedup.machine_code import compiled
from stages.dedup.rows import row_type

BLOCK = 1 << 24  # rows looked at at once


@compiled
def union(parent: np.ndarray, left: np.ndarray, right: np.ndarray) -> None:
    """Join the components of left[i] and right[i], for every i."""
    for i in range(len(left)):
        x, y = left[i], right[i]
        while parent[x] != x:
            parent[x] = parent[parent[x]]
            x = parent[x]
        while parent[y] != y:
            parent[y] = parent[parent[y]]
            y = parent[y]
        if x < y:
            parent[y] = x
        elif y < x:
            parent[x] = y


@compiled
def flatten(parent: np.ndarray) -> None:
    """Point every row at its root: parents are below their children, so one ascending sweep is enough."""
    for i in range(len(parent)):
        parent[i] = parent[parent[i]]


def forest(count: int) -> np.ndarray:
    """Every row a component of its own."""
    return np.arange(count, dtype=row_type(count))


def clusters(parent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rows, starts) of the components of two rows and more, from a flattened array.

    rows    the members, cluster by cluster (by smallest row), ascending inside each
    starts  int64[clusters + 1]: where each cluster begins in `rows`
    """
    blocks = range(0, len(parent), BLOCK)
    child = np.concatenate([_children(parent, first) for first in blocks] or [parent])
    roots, sizes = np.unique(parent[child], return_counts=True)
    starts = np.concatenate([[0], np.cumsum(sizes + 1)]).astype(np.int64)
    rows = np.empty(int(starts[-1]), parent.dtype)
    rows[starts[:-1]] = roots
    rest = np.ones(len(rows), bool)
    rest[starts[:-1]] = False
    rows[rest] = child[np.argsort(parent[child], kind="stable")]
    return rows, starts


def _children(parent: np.ndarray, first: int) -> np.ndarray:
    """Rows first.. of one block that are not their own root."""
    block = parent[first : first + BLOCK]
    own = np.arange(first, first + len(block), dtype=parent.dtype)
    return own[block != own]
