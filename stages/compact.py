"""Lay the rows that are still alive down as a new base: one copy now, and no later stage reads the removed
ones.

Columns beside the text cost little while most rows live; once few do, each text pass reads mostly rows that
are gone, and `siftloom plan` says when a copy pays. Ids, the current text and every column go along, and
three columns say where a row came from: `parent_base`, `parent_shard`, `parent_row`. Shards stay as they are
cut, so they shrink with their rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.contract import Context, Law, Node, Result, ShardPhase
from stages.documents import PARENT, TEXT, columns_of
from stages.read.shard_files import ROW_GROUP_BYTES, ShardFile, schema_of

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True, eq=False)
class Compact(Node):
    """A new base from the alive rows of `docs`. Adds `parent_base`, `parent_shard` (string) and `parent_row`
    (int64)."""

    docs: Node

    version = 1
    new_base = "shards"

    def adds(self):
        return PARENT

    def predict_bytes(self, rows: int, text_bytes: int) -> int:
        return int(0.45 * text_bytes) + 32 * rows

    def phases(self):
        law = Law("rows", "rows", ("kept",))
        return (ShardPhase(name="shards", open=self._open, needs=(*self._columns(), "_row"), law=law),)

    def _columns(self) -> dict[str, str]:
        """What is carried: all columns but the origin of a former compaction."""
        return {name: kind for name, kind in columns_of(self.docs).items() if name not in PARENT}

    def _open(self, ctx: Context) -> _Copy:
        return _Copy(ctx, {**self._columns(), **PARENT})


class _Copy:
    """Gathers batches to row groups: after removals a batch may hold a few rows only."""

    def __init__(self, ctx: Context, columns: dict[str, str]):
        assert ctx.shard is not None
        self.ctx, self.parent, self.columns = ctx, ctx.shard, columns
        self._file: ShardFile | None = None
        self._waiting: list[pa.Table] = []
        self._bytes = self._rows = 0

    def add(self, table: pa.Table) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        if not table.num_rows:
            return
        origin = {
            "parent_base": pa.repeat(self.parent.base, table.num_rows),
            "parent_shard": pa.repeat(self.parent.key, table.num_rows),
            "parent_row": table["_row"],
        }
        for name, values in origin.items():
            table = table.append_column(name, values)
        self._waiting.append(table.select(list(self.columns)).cast(schema_of(self.columns)))
        self._bytes += pc.sum(pc.binary_length(self._waiting[-1][TEXT])).as_py()
        self._rows += table.num_rows
        if self._bytes >= ROW_GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._waiting:
            self._file = self._file or ShardFile(self.ctx, self.parent.name, ".parquet", schema_of(self.columns))
            self._file.write(pa.concat_tables(self._waiting), self._bytes)
        self._waiting, self._bytes = [], 0

    def finish(self) -> Result:
        self._flush()
        facts: list[dict[str, Any]] = [] if self._file is None else [self._file.close()]
        kept = sum(fact["rows"] for fact in facts)
        return Result(counts={"rows": self._rows, "kept": kept}, facts={"shards": facts})
