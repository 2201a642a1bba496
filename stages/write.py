"""Alive rows out as files that any tool reads: Parquet, or gzipped JSON lines. One file per shard, in the
node's folder.

The same rows give the same bytes: no time and no name stands in a gzip header, and JSON has its fields in the
order of `columns`.
"""

from __future__ import annotations

import gzip
import json
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pipeline.contract import Context, Law, Node, Result, ShardPhase
from stages.documents import columns_of

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True, eq=False)
class Write(Node):
    """Write the alive rows of `docs`: `files/<shard>.parquet` or `files/<shard>.jsonl.gz`, none for a shard
    without rows.

    columns  which ones, in this order; empty = all that the documents carry
    """

    docs: Node
    format: Literal["parquet", "jsonl.gz"] = "parquet"
    columns: tuple[str, ...] = ()

    version = 2

    def phases(self):
        law = Law("rows", "rows", ("written",))
        needs = self.columns or tuple(columns_of(self.docs))
        return (ShardPhase(name="files", open=lambda ctx: self._open(ctx, needs), needs=needs, law=law),)

    def predict_bytes(self, rows: int, text_bytes: int) -> int:
        return int(0.45 * text_bytes) + 32 * rows

    def _open(self, ctx: Context, columns: tuple[str, ...]) -> _Files:
        return (_ParquetFile if self.format == "parquet" else _JsonFile)(ctx, columns)


class _Files:
    """A file that is opened by the first row."""

    ext: str

    def __init__(self, ctx: Context, columns: tuple[str, ...]):
        self.ctx, self.columns = ctx, list(columns)
        self._stack = ExitStack()
        self._file: Any = None
        self._rows = self._written = 0

    def add(self, table: pa.Table) -> None:
        if not table.num_rows:
            return
        self._rows += table.num_rows
        if self._file is None:
            self._file = self._begin(self._stack.enter_context(self.ctx.create(self.ext)), table)
        self._written += self._put(table.select(self.columns))

    def finish(self) -> Result:
        self._stack.close()
        return Result(counts={"rows": self._rows, "written": self._written})

    def _begin(self, path: Any, first: pa.Table) -> Any:
        raise NotImplementedError

    def _put(self, table: pa.Table) -> int:
        """Rows written."""
        raise NotImplementedError


class _ParquetFile(_Files):
    ext = ".parquet"

    def _begin(self, path, first):
        import pyarrow.parquet as pq

        schema = first.select(self.columns).schema.remove_metadata()
        few = [name for name in self.columns if name not in ("id", "text")]  # a dictionary of those is given up again
        return self._stack.enter_context(pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=few))

    def _put(self, table):
        self._file.write_table(table.cast(self._file.schema), row_group_size=table.num_rows)
        return table.num_rows


class _JsonFile(_Files):
    ext = ".jsonl.gz"

    def _begin(self, path, first):
        raw = self._stack.enter_context(open(path, "wb"))
        return self._stack.enter_context(gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0))

    def _put(self, table):
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in table.to_pylist()]
        self._file.write("".join(lines).encode("utf-8"))
        return len(lines)
