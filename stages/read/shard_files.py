"""Base shards as Parquet files, cut by bytes of text; and the side file of rows that could not be read.

Cuts depend on the rows alone: a row group is closed by the row that brings it to 16 MB of text and other columns, a
shard by the row group that brings it to `shard_bytes` of text. So every reader of a shard needs one row group of
memory, and no re-run cuts elsewhere.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.contract import Context, NewShard, Result, arrow_type, shard_facts
from pipeline.errors import DataError
from stages import row_groups
from stages.documents import PARENT, PARENTS
from stages.read.damaged import Damage
from stages.read.encodings import guess
from stages.read.record_to_row import Reject, Row

if TYPE_CHECKING:
    import pyarrow as pa

CLIP = 200  # characters of an unusable row that are kept for the eye


def schema_of(columns: dict[str, str]) -> pa.Schema:
    """The Arrow schema of columns given by the names of their types."""
    import pyarrow as pa

    return pa.schema([(name, arrow_type(kind)) for name, kind in columns.items()])


class ShardFile:
    """One base shard, written row group by row group. `close` returns its description for the engine."""

    def __init__(self, path: Path, task: str, ext: str, schema: pa.Schema):
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._shard = NewShard(key=task + ext.removesuffix(".parquet"), rows=0, text_bytes=0, ext=ext)
        self._schema = schema
        self._writer = pq.ParquetWriter(
            path,
            schema,
            compression="zstd",
            compression_level=3,
            use_dictionary=[name for name in schema.names if name in PARENT and name != PARENTS],
            # statistics of whole documents would store the smallest and largest text of every row group twice
            write_statistics=False,
            # without it a vector comes back as a list of any length
            store_schema=any(pa.types.is_fixed_size_list(kind) for kind in schema.types),
        )

    def write(self, table: pa.Table, text_bytes: int) -> None:
        """One row group."""
        self._writer.write_table(table.select(self._schema.names).cast(self._schema), row_group_size=table.num_rows)
        rows, size = self._shard.rows + table.num_rows, self._shard.text_bytes + text_bytes
        self._shard = replace(self._shard, rows=rows, text_bytes=size)

    def close(self) -> NewShard:
        self._writer.close()
        return self._shard


class ShardFiles:
    """Writes rows to as many shards as they fill. Use as a context manager; `shards` lists them.

    An error takes all of them back, those that are full too: a task may begin anew (`stages/read/damaged.py`).
    """

    def __init__(self, ctx: Context, key: str, columns: dict[str, str], shard_bytes: int):
        self.ctx, self.key, self.shard_bytes = ctx, key, shard_bytes
        self.schema = schema_of(columns)
        self.shards: list[NewShard] = []
        self._columns: list[list[Any]] = [[] for _ in columns]
        self._group_bytes = self._group_text = self._shard_bytes = 0
        self._shard: ShardFile | None = None
        self._files = ExitStack()

    def add(self, row_id: str, row: Row, text_bytes: int) -> None:
        for column, value in zip(self._columns, (row_id, *row), strict=True):
            column.append(value)
        beside = sum(len(value) for value in row[1:] if isinstance(value, str))
        self._group_bytes += text_bytes + beside
        self._group_text += text_bytes
        self._shard_bytes += text_bytes
        if self._group_bytes >= row_groups.GROUP_BYTES or self._shard_bytes >= self.shard_bytes:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._columns[0]:
            if self._shard is None:
                ext = f"-{len(self.shards):03d}.parquet"
                self._shard = ShardFile(self._files.enter_context(self.ctx.create(ext)), self.key, ext, self.schema)
            arrays = [pa.array(c, field.type) for c, field in zip(self._columns, self.schema, strict=True)]
            self._shard.write(pa.Table.from_arrays(arrays, schema=self.schema), self._group_text)
            self._columns, self._group_bytes, self._group_text = [[] for _ in self._columns], 0, 0
        if self._shard is not None and self._shard_bytes >= self.shard_bytes:
            self._end()

    def _end(self) -> None:
        if self._shard is not None:
            self.shards.append(self._shard.close())
        self._shard, self._shard_bytes = None, 0

    def __enter__(self) -> ShardFiles:
        return self

    def __exit__(self, kind, error, trace) -> None:
        if kind is None:
            self._flush()
            self._end()
        elif self._shard is not None:
            self._shard.close()
        self._files.__exit__(kind, error, trace)


class Rejected:
    """The side file `<key>.rejected.jsonl` and the counts of a task. Use as a context manager.

    One object per unusable row: `id` (what its id would have been), `line` (from 1), `reason` and `clip`, the beginning
    of what was found. The name of the file is not among them, as files of equal bytes share tasks, whatever they are
    called; `run.json` has the name behind the digest in an id. With `fail`, the first one raises `DataError` instead. A
    file that is left out for its damage is one object too: `digest`, `reason` = `damaged`, `byte`, `found`.
    """

    def __init__(self, ctx: Context, fail: bool):
        self.ctx, self.fail = ctx, fail
        self.counts: Counter[str] = Counter(rows=0, kept=0)
        self._open: ExitStack | None = None
        self._file: Any = None
        self._likely: dict[str, str] = {}
        self.facts: dict[str, Any] = {}

    def add(self, file: str, row_id: str, row: int, reject: Reject) -> None:
        content, reason = reject.clip, reject.reason
        clip = "" if content is None else content[: 4 * CLIP].decode("utf-8", "replace")[:CLIP]
        likely = self._encoding(file, content) if reason == "invalid_utf8" and content else None
        if self.fail:
            raise DataError(
                f"{file}:{row + 1}", f"{reason.replace('_', ' ')}: {clip!r}", "a usable document",
                f"set `encoding: {likely}` in `read`, which it looks like" if likely
                else "mend the line, or set `on_error: reject` to go on without it",
            )  # fmt: skip
        entry = {
            "id": row_id,
            "line": row + 1,
            "reason": reason,
            "clip": clip,
            **({"looks_like": likely} if likely else {}),
        }
        self._write(entry)
        self.counts[f"rejected.{reason}"] += 1

    def _write(self, entry: Mapping[str, Any]) -> None:
        if self._open is None:
            self._open = ExitStack()
            path = self._open.enter_context(self.ctx.create(".rejected.jsonl"))
            self._file = self._open.enter_context(open(path, "w", encoding="utf-8", newline="\n"))
        self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")

    def leave_out(self, damage: Damage) -> None:
        """Note the files that are damaged, once all others have been read."""
        for entry in damage.entries():
            self._write({"reason": "damaged", **entry})
        self.counts.update(damage.counts())
        self.facts.update(damage.facts())

    def _encoding(self, file: str, content: bytes) -> str:
        """Return the likely encoding of a file that is not UTF-8, by its first such line."""
        if file not in self._likely:
            self._likely[file] = guess(content)
        return self._likely[file]

    def result(self, shards: list[NewShard], encodings: Iterable[str] = ()) -> Result:
        """`encodings`: of the files that were not in UTF-8. Counts of them, and of the likely ones of files with rows
        that could not be decoded, stand in the facts."""
        facts = {**shard_facts(shards), **self.facts}
        for name, found in (("encodings", encodings), ("looks_like", self._likely.values())):
            if number := Counter(found):
                facts[name] = dict(sorted(number.items()))
        return Result(counts=dict(sorted(self.counts.items())), facts=facts)

    def __enter__(self) -> Rejected:
        return self

    def __exit__(self, kind, error, trace) -> None:
        if self._open is not None:
            self._open.__exit__(kind, error, trace)
