"""The files that `write` makes of the alive rows of a shard: Parquet, or gzipped JSON lines."""

from __future__ import annotations

import gzip
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from pipeline.contract import Context, Result
from stages.documents import HELD_OUT, LANG, SOURCE, SOURCE_FIELDS, TEXT
from stages.read.shard_files import schema_of
from stages.row_groups import RowGroups
from stages.source_fields import JSON, FieldTypes, columns, parsed, rest

if TYPE_CHECKING:
    import pyarrow as pa

GZIP_BYTES = 1 << 20  # of lines that gzip is fed at once: what it makes of equal bytes may depend on it
TOLD_APART = 50  # languages and sources in the facts of a shard, so that a receipt stays small


class FieldsFound:
    """A `ShardWriter` that notes the names and types of the source's fields of one shard."""

    def __init__(self, leaves_out: bool) -> None:
        self.found, self.leaves_out = FieldTypes(), leaves_out

    def add(self, table: pa.Table) -> None:
        table = without_held_out(table) if self.leaves_out else table
        for fields in parsed(table[SOURCE_FIELDS]):
            self.found.add(fields)

    def finish(self) -> Result:
        return Result(facts={"fields": self.found.facts()})


def without_held_out(table: pa.Table) -> pa.Table:
    """The rows that `split` has not marked."""
    import pyarrow.compute as pc

    return table.filter(pc.invert(pc.fill_null(table[HELD_OUT], False)))


class _Rows:
    """A file that the first row opens. `columns`: those that are written -> their types. `leaves_out`: without the rows
    that are held out.
    """

    ext: str

    def __init__(self, ctx: Context, columns: Mapping[str, str], leaves_out: bool):
        self.ctx, self.columns, self.leaves_out = ctx, dict(columns), leaves_out
        self._stack = ExitStack()
        self._file: Any = None
        self._counts = Counter(rows=0, written=0, held_out=0, text_bytes=0)
        self._groups: dict[str, Counter[str]] = {LANG: Counter(), SOURCE: Counter()}
        self._found = FieldTypes()

    def add(self, table: pa.Table) -> None:
        import pyarrow.compute as pc

        self._counts["rows"] += table.num_rows
        if self.leaves_out:
            all_rows, table = table.num_rows, without_held_out(table)
            self._counts["held_out"] += all_rows - table.num_rows
        if not table.num_rows:
            return
        if TEXT in table.column_names:
            self._counts["text_bytes"] += pc.sum(pc.binary_length(table[TEXT])).as_py() or 0
        for name, found in self._groups.items():
            if name in table.column_names:
                for entry in pc.value_counts(table[name]).to_pylist():
                    label = entry["values"] or "none"
                    found[label if label in found or len(found) < TOLD_APART else "others"] += entry["counts"]
        if self._file is None:
            self._file = self._begin(self._stack.enter_context(self.ctx.create(self.ext)))
        self._put(table.select(list(self.columns)))

    def finish(self) -> Result:
        if self._file is not None:
            self._end()
        self._stack.close()
        facts: dict[str, Any] = {"languages": dict(self._groups[LANG]), "sources": dict(self._groups[SOURCE])}
        if SOURCE_FIELDS in self.columns:
            facts["fields"] = self._found.facts()
        return Result(counts=dict(self._counts), facts=facts)

    def _begin(self, path: Any) -> Any:
        raise NotImplementedError

    def _put(self, table: pa.Table) -> None:
        """Take a batch, and count the rows that are written."""
        raise NotImplementedError

    def _end(self) -> None:
        """Write what is left of the batches."""
        raise NotImplementedError


class ParquetRows(_Rows):
    """`types`: fields of the source -> their types. `stays`: whether `source_fields` has others."""

    ext = ".parquet"

    def __init__(
        self,
        ctx: Context,
        columns: Mapping[str, str],
        leaves_out: bool,
        types: Mapping[str, str] | None = None,
        stays: bool = False,
    ):
        super().__init__(ctx, columns, leaves_out)
        self.types, self.stays = types or {}, stays

    def _begin(self, path):
        import pyarrow.parquet as pq

        kinds = {name: kind for name, kind in self.columns.items() if name != SOURCE_FIELDS}
        kinds |= {name: "string" if kind == JSON else kind for name, kind in self.types.items()}
        kinds |= {SOURCE_FIELDS: "string"} if self.stays else {}
        self._cut, self._schema = RowGroups(), schema_of(kinds)
        few = [name for name in kinds if name not in ("id", "text", SOURCE_FIELDS)]  # of those a dictionary is given up
        return self._stack.enter_context(pq.ParquetWriter(path, self._schema, compression="zstd", use_dictionary=few))

    def _put(self, table):
        if SOURCE_FIELDS in self.columns:
            rows = parsed(table[SOURCE_FIELDS])
            table = table.drop_columns([SOURCE_FIELDS])
            for name, values in columns(rows, self.types).items():
                table = table.append_column(name, values)
            if self.stays:
                table = table.append_column(SOURCE_FIELDS, rest(rows))
        self._write(self._cut.add(table.cast(self._schema)))

    def _end(self):
        self._write(self._cut.end())

    def _write(self, groups: Iterator[pa.Table]) -> None:
        for group in groups:
            self._file.write_table(group, row_group_size=len(group))
            self._counts["written"] += len(group)


class JsonRows(_Rows):
    ext = ".jsonl.gz"

    def _begin(self, path):
        self._waiting = bytearray()
        raw = self._stack.enter_context(open(path, "wb"))
        return self._stack.enter_context(gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0))

    def _put(self, table):
        for row in table.to_pylist():
            if fields := row.pop(SOURCE_FIELDS, None):
                self._lay_out(row, json.loads(fields))
            self._waiting += _line(row)
            self._counts["written"] += 1
            if len(self._waiting) >= GZIP_BYTES:
                self._write_blocks()

    def _lay_out(self, row: dict[str, Any], fields: dict[str, Any]) -> None:
        """Put the source's fields beside the columns; one that has the name of a column stays apart."""
        self._found.add(fields)
        apart = {name: value for name, value in fields.items() if name in self.columns}
        row.update((name, value) for name, value in fields.items() if name not in self.columns)
        if apart:
            row[SOURCE_FIELDS] = apart

    def _write_blocks(self) -> None:
        whole = len(self._waiting) // GZIP_BYTES * GZIP_BYTES
        for start in range(0, whole, GZIP_BYTES):
            self._file.write(bytes(self._waiting[start : start + GZIP_BYTES]))
        del self._waiting[:whole]

    def _end(self):
        self._file.write(bytes(self._waiting))


def _line(row: dict[str, Any]) -> bytes:
    try:
        text = json.dumps(row, ensure_ascii=False, allow_nan=False)
    except ValueError:
        row = _finite(row)
        text = json.dumps(row, ensure_ascii=False)
    try:
        return (text + "\n").encode("utf-8")
    except UnicodeEncodeError:  # half a surrogate pair, in a field of the source
        return (json.dumps(row) + "\n").encode("ascii")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list) else value
