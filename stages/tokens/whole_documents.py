"""Documents put together again from the pieces of packed rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class WholeDocuments:
    """The documents of one shard, whole again, in the order of the base.

    pieces   ids of every piece, one document's after another's
    lengths  tokens of each document, int64
    """

    pieces: list[np.ndarray]
    lengths: np.ndarray
    rows: np.ndarray
    sources: pa.Array
    base: str
    shard: str
    dtype: np.dtype

    @classmethod
    def read(cls, ids: Path, spans: Path, length: int, dtype: str) -> WholeDocuments:
        """From the two files of a shard of packed rows."""
        import pyarrow.parquet as pq

        columns = ["doc_row", "doc_start", "doc_offset", "doc_tokens", "doc_source"]
        table = pq.read_table(spans, columns=columns).combine_chunks()
        lists = {name: table[name].combine_chunks() for name in columns}
        flat = {name: lists[name].flatten() for name in columns}
        document, start, offset, tokens = (flat[name].to_numpy() for name in columns[:4])
        packed_row = np.repeat(np.arange(table.num_rows), np.diff(lists["doc_row"].offsets.to_numpy()))
        rows = np.memmap(ids, np.dtype(dtype).newbyteorder("<"), "r").reshape(-1, length + 1)
        order = np.lexsort((offset, document))
        begins = offset[order] == 0
        pieces = [
            rows[row, at + first : at + count]  # the first piece without the token that begins a document
            for row, at, first, count in zip(
                packed_row[order], start[order], begins.astype(int), tokens[order], strict=True
            )
        ]
        numbers, where = np.unique(document[order], return_index=True)
        sizes = np.add.reduceat(tokens[order].astype(np.int64), where) - 1
        names = table.schema.metadata
        return cls(
            pieces, sizes, numbers, flat["doc_source"].take(order[where]),
            names[b"base"].decode(), names[b"shard"].decode(), rows.dtype,
        )  # fmt: skip

    def write(self, path: Path, dtype: str) -> None:
        """Every id, one document after another, little-endian."""
        with open(path, "wb") as file:
            for piece in self.pieces:
                piece.astype(np.dtype(dtype).newbyteorder("<"), copy=False).tofile(file)

    def ids(self) -> Iterator[np.ndarray]:
        """Ids of each document, with the token that ends it."""
        whole = np.concatenate(self.pieces)
        yield from np.split(whole, self.lengths.cumsum()[:-1])
