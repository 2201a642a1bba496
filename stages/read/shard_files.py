"""Base shards as Parquet files, cut by bytes of text; and the side file of rows that could not be read.

Cuts depend on the rows alone: a row group is closed by the row that brings it to 16 MB of text, a shard by
the row group that brings it to `shard_bytes`. So every reader of a shard needs one row group of memory, and
no re-run cuts elsewhere.
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import ExitStack
from typing import Any

from pipeline.contract import Context, Result
from pipeline.errors import DataError
from stages.documents import document_id
from stages.read.records import Row

ROW_GROUP_BYTES = 16 * 1024**2
CLIP = 200  # characters of an unusable row that are kept for the eye
EXT = "-{:03d}.parquet"


class ShardFiles:
    """Writes rows to as many shards as they fill. Use as a context manager; `facts` lists the shards."""

    def __init__(self, ctx: Context, key: str, columns: dict[str, str], shard_bytes: int):
        import pyarrow as pa

        self.ctx, self.key, self.shard_bytes = ctx, key, shard_bytes
        self.schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in columns.items()])
        self.facts: list[dict[str, Any]] = []
        self._columns: list[list[Any]] = [[] for _ in columns]
        self._group_bytes = 0
        self._open: ExitStack | None = None
        self._writer: Any = None
        self._fact: dict[str, Any] = {}

    def add(self, row_id: str, row: Row, text_bytes: int) -> None:
        for column, value in zip(self._columns, (row_id, *row), strict=True):
            column.append(value)
        self._group_bytes += text_bytes
        if (
            self._group_bytes >= ROW_GROUP_BYTES
            or self._fact.get("text_bytes", 0) + self._group_bytes >= self.shard_bytes
        ):
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if not self._columns[0]:
            return
        if self._open is None:
            self._begin()
        arrays = [pa.array(c, field.type) for c, field in zip(self._columns, self.schema, strict=True)]
        self._fact["rows"] += len(arrays[0])
        self._fact["text_bytes"] += self._group_bytes
        self._writer.write_table(
            pa.Table.from_arrays(arrays, schema=self.schema), row_group_size=len(arrays[0])
        )
        self._columns, self._group_bytes = [[] for _ in self._columns], 0
        if self._fact["text_bytes"] >= self.shard_bytes:
            self._end()

    def _begin(self) -> None:
        import pyarrow.parquet as pq

        ext = EXT.format(len(self.facts))
        self._open = ExitStack()
        path = self._open.enter_context(self.ctx.create(ext))
        # statistics of whole documents would double the smallest and largest text of every row group
        self._writer = self._open.enter_context(
            pq.ParquetWriter(path, self.schema, compression="zstd", compression_level=3,
                             use_dictionary=False, write_statistics=False, store_schema=False)
        )  # fmt: skip
        self._fact = {"key": self.key + ext.removesuffix(".parquet"), "rows": 0, "text_bytes": 0, "ext": ext}

    def _end(self) -> None:
        if self._open is not None:
            self._open.close()
            self.facts.append(self._fact)
        self._open, self._fact = None, {}

    def __enter__(self) -> ShardFiles:
        return self

    def __exit__(self, kind, error, trace) -> None:
        if kind is None:
            self._flush()
            self._end()
        elif self._open is not None:
            self._open.__exit__(kind, error, trace)


class Rejected:
    """The side file `<key>.rejected.jsonl` and the counts of a task. Use as a context manager.

    One object per unusable row: `file`, `line` (from 1), `reason`, `id` (what its id would have been) and
    `clip`, the beginning of what was found. With `fail`, the first one raises `DataError` instead.
    """

    def __init__(self, ctx: Context, fail: bool):
        self.ctx, self.fail = ctx, fail
        self.counts: Counter[str] = Counter(rows=0, kept=0)
        self._open: ExitStack | None = None
        self._file: Any = None

    def add(self, file: str, digest: str, row: int, reason: str, content: bytes | None) -> None:
        clip = "" if content is None else content[: 4 * CLIP].decode("utf-8", "replace")[:CLIP]
        if self.fail:
            raise DataError(
                f"{file}:{row + 1}", f"{reason.replace('_', ' ')}: {clip!r}", "a usable document",
                "mend the line, or set `on_error: reject` to go on without it",
            )  # fmt: skip
        if self._open is None:
            self._open = ExitStack()
            path = self._open.enter_context(self.ctx.create(".rejected.jsonl"))
            self._file = self._open.enter_context(open(path, "w", encoding="utf-8", newline="\n"))
        entry = {
            "file": file,
            "line": row + 1,
            "reason": reason,
            "id": document_id(digest, row),
            "clip": clip,
        }
        self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")
        self.counts[f"rejected.{reason}"] += 1

    def result(self, shards: list[dict[str, Any]]) -> Result:
        return Result(counts=dict(sorted(self.counts.items())), facts={"shards": shards})

    def __enter__(self) -> Rejected:
        return self

    def __exit__(self, kind, error, trace) -> None:
        if self._open is not None:
            self._open.__exit__(kind, error, trace)
