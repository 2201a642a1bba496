"""Connected components over dense row numbers: one union-find array; the smallest row names a component.

The larger root is always linked under the smaller, so a parent is never above its child, the result is the
same for any order of the edges, and one ascending sweep flattens the array. Memory is the array: 4 bytes a
row (8 from 2^32 - 1 rows). Source: Tarjan, "Efficiency of a good but not linear set union algorithm", 1975;
path halving: van Leeuwen and Tarjan 1984.
"""

import numpy as np

from stages.dedup.rows import row_type
from stages.loops.machine_code import Loop

BLOCK = 1 << 24  # rows looked at at once


@Loop
def union():
    from stages.loops.clusters import union

    return union


@Loop
def flatten():
    from stages.loops.clusters import flatten

    return flatten


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
