"""Write the alive rows as files that any tool reads, and copy them to the user's target.

Each shard becomes one file of the node: Parquet, or gzipped JSON lines. The same rows give the same bytes: no time and
no name stands in a gzip header, and JSON has its fields in the order of `columns`.

With `to`, the files are copied to a folder or an object store as one dataset:

    data/train-00000-of-00002.parquet    the rows, in the order of the shards
    README.md                            a Hugging Face dataset card, whose header makes `load_dataset(folder)` work
    croissant.json, prov.json            the same facts as Croissant 1.0 and as W3C PROV
    manifest.json                        every other file with its size and SHA-256, the columns, the node

`stages.publish` says how they get there whole. The store keeps its own files, so `siftloom verify` can still answer for
them and another target costs a copy only; `siftloom clean` removes them like any other result.
"""

from __future__ import annotations

import gzip
import json
import math
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from pipeline.contract import ONE, Context, Law, Node, Result, ShardPhase, TaskPhase, nothing, one, target
from pipeline.errors import DataError, RecipeError
from stages.cards import Dataset, cards
from stages.documents import LANG, SOURCE, TEXT, columns_of
from stages.publish import check_target, describe, publish, shown

if TYPE_CHECKING:
    import pyarrow as pa

TOLD_APART = 50  # languages and sources in the facts of a shard, so that a receipt stays small


@dataclass(frozen=True, kw_only=True, eq=False)
class Write(Node):
    """Write the alive rows of `docs`: `files/<shard>.parquet` or `.jsonl.gz`, none for a shard without rows.

    to       a folder, or an `s3://` or `gs://` URI, that gets the files as a dataset which `datasets.load_dataset`,
             pandas and polars open; null = the files stay in the store only
    format   the format of the files; JSON has no NaN and no infinity, so there they are null
    columns  the columns to write, in this order; empty = all columns of the documents

    Errors: `DataError` when the target holds files that this node did not write, or when no row is alive.
    """

    docs: Node
    to: str | None = target()
    format: Literal["parquet", "jsonl.gz"] = "parquet"
    columns: tuple[str, ...] = ()

    version = 4
    gives = "files"

    def check(self) -> None:
        have = columns_of(self.docs)
        for name in self.columns:
            if name not in have:
                raise RecipeError(f"write.columns: {name}", "no column of the documents", ", ".join(sorted(have)))
        check_target("write.to", self.to)

    def phases(self):
        law = Law("rows", "rows", ("written",))
        needs = self.columns or tuple(columns_of(self.docs))
        files = ShardPhase(
            name="files",
            open=lambda ctx: self._open(ctx, needs),
            needs=needs,
            law=law,
            fields=("format", "columns"),
            whole=nothing,
        )
        # in the driver, since a relative folder and a user's credentials are the driver's
        copy = TaskPhase(name="target", keys=one, run=self._copy, place="driver")
        return (files,) if self.to is None else (files, copy)

    def predict_bytes(self, rows: int, text_bytes: int) -> int:
        return int(0.45 * text_bytes) + 32 * rows

    def _open(self, ctx: Context, columns: tuple[str, ...]) -> _Files:
        return (_ParquetFile if self.format == "parquet" else _JsonFile)(ctx, columns)

    def _copy(self, ctx: Context, key: str) -> Result:
        assert self.to is not None
        paths: list[Path] = []
        counts: Counter[str] = Counter()
        by = {"languages": Counter[str](), "sources": Counter[str]()}
        rows: list[int] = []
        for shard in ctx.keys("files"):
            result = ctx.result("files", shard)
            if result.counts["rows"]:
                paths.append(ctx.path("files", shard, f".{self.format}"))
                rows.append(result.counts["rows"])
                counts.update(result.counts)
                for name, found in by.items():
                    found.update(result.facts[name])
        if not paths:
            raise DataError("write.to", "no document is left to write", "one document or more")
        copies = {f"data/train-{i:05d}-of-{len(paths):05d}.{self.format}": path for i, path in enumerate(paths)}
        files = {name: {"rows": n} | describe(path) for n, (name, path) in zip(rows, copies.items(), strict=True)}
        have = columns_of(self.docs)
        dataset = Dataset(
            name=PurePosixPath(shown(self.to)).name,
            node=self,
            fingerprint=ctx.fingerprint(),
            columns={name: have[name] for name in self.columns or have},
            files=files,
            counts={"text_bytes": counts["text_bytes"], **{name: dict(found) for name, found in by.items()}},
            passed=dict(ctx.behind()),
        )
        facts = {"node": dataset.fingerprint, "rows": dataset.rows, "columns": dataset.columns}
        manifest = publish("write.to", self.to, copies, cards(dataset), facts, files)
        with ctx.create(".json") as path:
            path.write_bytes(manifest)
        return Result(counts={"files": len(paths), "rows": dataset.rows})

    def figures(self, ctx: Context):
        if self.to is not None:
            counts = ctx.result("target", ONE[0]).counts
            rows = [["files", counts["files"]], ["rows", counts["rows"]], ["in", shown(self.to)]]
            table = {"kind": "table", "title": "Written dataset", "section": "files"}
            yield table | {"columns": ["", "value"], "rows": rows}


class _Files:
    """A file that the first row opens."""

    ext: str

    def __init__(self, ctx: Context, columns: tuple[str, ...]):
        self.ctx, self.columns = ctx, list(columns)
        self._stack = ExitStack()
        self._file: Any = None
        self._counts = Counter(rows=0, written=0, text_bytes=0)
        self._groups: dict[str, Counter[str]] = {LANG: Counter(), SOURCE: Counter()}

    def add(self, table: pa.Table) -> None:
        import pyarrow.compute as pc

        if not table.num_rows:
            return
        self._counts["rows"] += table.num_rows
        if TEXT in table.column_names:
            self._counts["text_bytes"] += pc.sum(pc.binary_length(table[TEXT])).as_py() or 0
        for name, found in self._groups.items():
            if name in table.column_names:
                for entry in pc.value_counts(table[name]).to_pylist():
                    label = entry["values"] or "none"
                    found[label if label in found or len(found) < TOLD_APART else "others"] += entry["counts"]
        if self._file is None:
            self._file = self._begin(self._stack.enter_context(self.ctx.create(self.ext)), table)
        self._counts["written"] += self._put(table.select(self.columns))

    def finish(self) -> Result:
        self._stack.close()
        facts = {"languages": dict(self._groups[LANG]), "sources": dict(self._groups[SOURCE])}
        return Result(counts=dict(self._counts), facts=facts)

    def _begin(self, path: Any, first: pa.Table) -> Any:
        raise NotImplementedError

    def _put(self, table: pa.Table) -> int:
        """Write a batch and return how many rows were written."""
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
        lines = [_line(row) + "\n" for row in table.to_pylist()]
        self._file.write("".join(lines).encode("utf-8"))
        return len(lines)


def _line(row: dict[str, Any]) -> str:
    try:
        return json.dumps(row, ensure_ascii=False, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(row), ensure_ascii=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list) else value
