"""Rows cut into row groups of a file by the rows alone, in whatever batches they come.

Batches come as the engine reads and hands them on: row groups of the base, rows left of them, or a whole shard at once
behind workers of another kind. A file that shows where they ended would have other bytes after a resume.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

GROUP_BYTES = 16 * 1024**2  # of values; so much memory a reader of a file needs
GROUP_ROWS = 65_536
ITEM_BYTES = 48  # of an item of a list, about: an id


class RowGroups:
    """Takes tables of one schema; gives tables of one chunk a column, each to be written as one row group.

    A group ends with the row that brings its values to `GROUP_BYTES`, or with its `GROUP_ROWS`-th row.
    """

    def __init__(self) -> None:
        self._waiting: list[pa.Table] = []
        self._rows = self._bytes = 0

    def add(self, table: pa.Table) -> Iterator[pa.Table]:
        """Yield the groups that some rows complete."""
        import numpy as np

        sums = np.cumsum(_row_bytes(table))
        start = 0
        while start < len(table):
            before = int(sums[start - 1]) if start else 0
            full = int(np.searchsorted(sums, GROUP_BYTES - self._bytes + before)) + 1
            stop = min(full, start + GROUP_ROWS - self._rows, len(table))
            self._waiting.append(table.slice(start, stop - start))
            self._rows += stop - start
            self._bytes += int(sums[stop - 1]) - before
            start = stop
            if self._bytes >= GROUP_BYTES or self._rows == GROUP_ROWS:
                yield from self.end()

    def end(self) -> Iterator[pa.Table]:
        """Yield the rows that are left, if there are any."""
        import pyarrow as pa

        if self._waiting:
            yield pa.concat_tables(self._waiting).combine_chunks()
        self._waiting, self._rows, self._bytes = [], 0, 0


def _row_bytes(table: pa.Table) -> np.ndarray:
    """Return int64[rows]: the bytes of each row's values. Only the values count, not how Arrow holds them."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    sizes = np.zeros(len(table), np.int64)
    for column in table.columns:
        kind = column.type
        if pa.types.is_fixed_size_list(kind):
            sizes += kind.list_size * kind.value_type.bit_width // 8
        elif pa.types.is_list(kind):
            sizes += ITEM_BYTES * pc.fill_null(pc.list_value_length(column), 0).to_numpy()
        elif pa.types.is_string(kind) or pa.types.is_binary(kind):
            sizes += pc.fill_null(pc.binary_length(column), 0).to_numpy()
        else:
            sizes += max(1, kind.bit_width // 8)
    return sizes
