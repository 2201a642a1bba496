"""Batches that part no group: rows of one value of a column that stand behind one another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa


class GroupCutter:
    """Batches of any size in; out come tables of whole groups, each of the fewest that have `rows` rows or more. So the
    tables do not hang on how the rows arrive.
    """

    def __init__(self, column: str, rows: int) -> None:
        self.column, self.rows = column, rows
        self._waiting: list[pa.Table] = []
        self._count = 0

    def add(self, table: pa.Table) -> Iterator[pa.Table]:
        """Yield the tables that a batch completes. The last group waits: the next batch may go on with it."""
        import pyarrow as pa

        self._waiting.append(table)
        self._count += len(table)
        if self._count <= self.rows:
            return
        whole, start = pa.concat_tables(self._waiting).combine_chunks(), 0
        for end in self._ends(whole):
            if end - start >= self.rows:
                yield whole.slice(start, end - start)
                start = end
        self._waiting, self._count = [whole.slice(start)], len(whole) - start

    def end(self) -> Iterator[pa.Table]:
        """Yield the rows that are left, if there are any."""
        import pyarrow as pa

        if self._count:
            yield pa.concat_tables(self._waiting).combine_chunks()
        self._waiting, self._count = [], 0

    def _ends(self, table: pa.Table) -> list[int]:
        """Row numbers at which a group ends and another one begins."""
        import pyarrow as pa

        column = table[self.column].combine_chunks()
        values = column if pa.types.is_dictionary(column.type) else column.dictionary_encode(null_encoding="encode")
        return (np.flatnonzero(np.diff(values.indices.to_numpy())) + 1).tolist()
