"""Dense row numbers: the rows of all shards in order, counted through. No id column, service or shuffle."""

from collections.abc import Iterable

import numpy as np

NARROW = (1 << 32) - 1  # row numbers below this are held as uint32


def first_rows(counts: Iterable[int]) -> np.ndarray:
    """int64[shards + 1]: the dense number of each shard's first row, and last the number of rows."""
    return np.concatenate([[0], np.cumsum(np.fromiter(counts, np.int64))]).astype(np.int64)


def locate(rows: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(shard index, row inside the shard), both int64, of dense row numbers."""
    rows = rows.astype(np.int64)
    shard = np.searchsorted(first, rows, side="right") - 1
    return shard, rows - first[shard]


def row_type(count: int) -> type[np.uint32] | type[np.int64]:
    """The type that holds dense numbers of `count` rows."""
    return np.uint32 if count < NARROW else np.int64
