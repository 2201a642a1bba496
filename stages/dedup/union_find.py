"""Equal keys become edges, edges become components: arrays in, arrays out.

    range_edges       keys and rows of one key range -> a spanning forest of what the range joins
    union, flatten    forests of all ranges -> one array in which every row points at the smallest of its component
    clusters          that array -> the components of two rows and more

A key that k rows share gives k - 1 edges, never k^2, so a key that a million copies share costs a million rows. A
forest holds one edge (root, row) for every row that is not the smallest of its component in the range, in order of row:
it depends on the set of (key, row) pairs alone, whatever order the files come in.

The larger root is always linked under the smaller. So a parent is never above its child, the result is the same for
any order of the edges, and one ascending sweep flattens the array. Sources: Tarjan, "Efficiency of a good but not
linear set union algorithm", 1975; van Leeuwen and Tarjan, 1984 (path halving).
"""

import numpy as np

from stages.dedup.corpus import row_type

GATHER_BLOCK = 1 << 20  # keys gathered at once
FLATTEN_BLOCK = 1 << 24  # rows looked at at once
SLOTS_PER_KEY = 8  # of the counting table: about one in so many of the keys that occur once passes it


def range_edges(keys: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the spanning forest of one key range: edges[e, 2] of the type of `rows`; keys uint64[m], rows[m]."""
    return spanning_forest(*stars(keys, rows))


def may_repeat(keys: np.ndarray) -> np.ndarray:
    """Return bool[m]: True for every key that occurs more than once, and for few of the others; keys uint64[m].

    Most keys belong to one document alone and join nothing. Counting keys in a small table, by their low bits (the keys
    of one range agree in their high ones), costs a tenth of sorting them.
    """
    from stages.loops.clusters import mark_shared

    bits = max(16, int(max(len(keys), 1) * SLOTS_PER_KEY - 1).bit_length())
    repeated = np.empty(len(keys), bool)
    mark_shared(keys, np.zeros(1 << (bits - 5), np.uint64), np.uint64((1 << bits) - 1), repeated)
    return repeated


def stars(keys: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (smallest row, another row) for every row of a key that has two rows and more; keys uint64[m], rows[m]."""
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
    """Return int64[m]: positions in an order in which equal keys are neighbours; keys uint64[m].

    Sorting numbers is faster than sorting positions by them, so the low bits of a key make room for its position. Keys
    that look alike without these bits and are not equal, few or none of them, are then ordered by themselves.
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
    """Return bool[m]: in this order the key equals the one before. In blocks, since an ordered copy would be large."""
    same = np.zeros(len(keys), bool)
    for first in range(1, len(keys), GATHER_BLOCK):
        block = keys[order[first - 1 : first + GATHER_BLOCK]]
        same[first : first + GATHER_BLOCK] = block[1:] == block[:-1]
    return same


def _distinct(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return every edge once, in order: two documents that share many keys give as many edges.

    Only for 32-bit row numbers, of which two fit into one sortable number; repeated edges do no harm but take time.
    """
    if left.dtype != np.uint32:
        return left, right
    both = (left.astype(np.uint64) << np.uint64(32)) | right
    both.sort()
    both = both[np.concatenate([[True], both[1:] != both[:-1]])] if len(both) else both
    return (both >> np.uint64(32)).astype(np.uint32), both.astype(np.uint32)


def spanning_forest(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return edges[e, 2] (root, row): the components of the given edges, with at most one edge per row."""
    left, right = _distinct(left, right)
    members = np.sort(np.concatenate([left, right]))
    members = members[np.concatenate([[True], members[1:] != members[:-1]])] if len(members) else members
    parent = forest(len(members))
    union(parent, np.searchsorted(members, left), np.searchsorted(members, right))
    flatten(parent)
    child = parent != np.arange(len(parent), dtype=parent.dtype)
    return np.stack([members[parent[child]], members[child]], axis=1)


def forest(count: int) -> np.ndarray:
    """Return an array in which every row is a component of its own: 4 bytes a row, 8 from 2^32 - 1 rows on."""
    return np.arange(count, dtype=row_type(count))


def union(parent: np.ndarray, left: np.ndarray, right: np.ndarray) -> None:
    """Join, in place, the components of left[i] and right[i] for every i."""
    from stages.loops import clusters as loops

    loops.union(parent, *(np.ascontiguousarray(side, parent.dtype) for side in (left, right)))


def flatten(parent: np.ndarray) -> None:
    """Point, in place, every row at the smallest row of its component."""
    from stages.loops import clusters as loops

    loops.flatten(parent)


def clusters(parent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (rows, starts) of the components of two rows and more, from a flattened array.

    rows    the members, cluster by cluster (by smallest row), ascending inside each cluster
    starts  int64[clusters + 1]: where each cluster begins in `rows`
    """
    blocks = range(0, len(parent), FLATTEN_BLOCK)
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
    """Return the rows of one block, from `first` on, that are not their own root."""
    block = parent[first : first + FLATTEN_BLOCK]
    own = np.arange(first, first + len(block), dtype=parent.dtype)
    return own[block != own]
