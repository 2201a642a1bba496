"""Parts of a long shard, stored while the shard is at work, so that a killed worker loses no more than one part.

A piece is stored under the node's `scratch/`, named by its number. It holds the records of `commit_rows` rows in the
order in which they came, and a digest of everything that they depend on. So a piece is used again only for equal rows,
and a worker that takes over from a killed one goes on behind the last piece. When the shard has its receipt the pieces
are removed. The bytes of the side-car are the same with pieces and without.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from pipeline.arrow import contiguous
from pipeline.files.objects import Store
from pipeline.fingerprint import digest
from pipeline.results.digests import column_digest

if TYPE_CHECKING:
    import pyarrow as pa

BYTES_A_TOKEN = 4  # of UTF-8, of the tokenizers of large models on prose
INPUT = b"input"  # key of the digest in the schema's metadata


def pieces_folder(node_folder: str) -> str:
    """Return the folder of all pieces of a node."""
    return f"{node_folder}/scratch/pieces"


class Pieces:
    """The pieces of one phase over one shard."""

    def __init__(self, store: Store, node_folder: str, phase: str, shard: str) -> None:
        self.store, self.folder = store, f"{pieces_folder(node_folder)}/{phase}/{shard}"
        self._there = set(store.names(self.folder))

    def load(self, number: int, rows: str) -> pa.Table | None:
        """Return a piece, None where there is none for rows with this digest."""
        import pyarrow as pa

        if self._name(number) not in self._there:
            return None
        data = self.store.read(f"{self.folder}/{self._name(number)}")
        try:
            table = pa.ipc.open_stream(data or b"").read_all()
        except pa.ArrowInvalid:
            return None
        same = (table.schema.metadata or {}).get(INPUT) == rows.encode()
        return table.replace_schema_metadata(None) if same else None

    def save(self, number: int, rows: str, record: pa.Table) -> None:
        """Keep a piece; one of that number is replaced."""
        import pyarrow as pa

        sink = pa.BufferOutputStream()
        table = record.replace_schema_metadata({INPUT: rows.encode()})
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        self.store.write(f"{self.folder}/{self._name(number)}", sink.getvalue().to_pybytes())
        self._there.add(self._name(number))

    def remove(self) -> None:
        """Remove every piece, once the shard has its receipt."""
        if self._there:
            self.store.delete(self.folder)

    def _name(self, number: int) -> str:
        return f"{number:06d}.arrow"


def rows_digest(table: pa.Table, reads: Mapping[tuple[str, str, str], str]) -> str:
    """Return a digest of the rows that a function is given and of the finished tasks that it has read."""
    columns = [[name, column_digest(contiguous(table[name]))] for name in table.column_names]
    return digest([columns, sorted([*name, read] for name, read in reads.items())])


class RowCutter:
    """Batches of any size in, tables of `rows` rows out, the last one shorter. With None, the batches as they come."""

    def __init__(self, rows: int | None) -> None:
        self.rows = rows
        self._waiting: list[pa.Table] = []
        self._count = 0

    def add(self, table: pa.Table) -> Iterator[pa.Table]:
        """Yield the full units that a batch completes."""
        if self.rows is None:
            yield table
            return
        import pyarrow as pa

        self._waiting.append(table)
        self._count += len(table)
        if self._count < self.rows:
            return
        whole = pa.concat_tables(self._waiting).combine_chunks()
        full = self._count // self.rows * self.rows
        self._waiting, self._count = [whole.slice(full)], self._count - full
        for start in range(0, full, self.rows):
            yield whole.slice(start, self.rows)

    def end(self) -> Iterator[pa.Table]:
        """Yield the rows that are left, if there are any."""
        import pyarrow as pa

        if self._count:
            yield pa.concat_tables(self._waiting).combine_chunks()
        self._waiting, self._count = [], 0


def cut_into_batches(table: pa.Table, rows: int | None, tokens: int | None) -> Iterator[pa.Table]:
    """Yield batches of a unit in the order of its rows; see `batch_rows` and `batch_tokens` of a `RowPhase`."""
    size = rows or max(1, len(table))
    for start in range(0, len(table), size):
        batch = table.slice(start, size)
        yield from [batch] if tokens is None else _within(batch, tokens)


def _within(batch: pa.Table, tokens: int) -> Iterator[pa.Table]:
    import pyarrow.compute as pc

    lengths = pc.fill_null(pc.binary_length(batch["text"]), 0).to_numpy()
    start = longest = 0
    for row, size in enumerate(lengths.tolist()):
        wider = max(longest, -(-size // BYTES_A_TOKEN))
        if row > start and (row - start + 1) * wider > tokens:
            yield batch.slice(start, row - start)
            start, wider = row, -(-size // BYTES_A_TOKEN)
        longest = wider
    yield batch.slice(start)
