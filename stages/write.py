"""Write the alive rows as files that any tool reads, and copy them to the user's target.

Each shard becomes one file of the node: Parquet, or gzipped JSON lines. The same rows give the same bytes: row groups
and what gzip is fed at once are cut by the rows (`stages/row_groups.py`), no time and no name stands in a gzip header,
and JSON has its fields in the order of `columns`.

Fields of the source that travel in `source_fields` are laid out beside them again: in JSON under their own names, as
the record had them; in Parquet as columns of the type that their values have in all shards, or as JSON where they have
none in common. So Parquet needs two passes, one that looks and one that writes.

With `to`, the files are copied to a folder or an object store as one dataset:

    data/train-00000-of-00002.parquet    the rows, in the order of the shards
    README.md                            a Hugging Face dataset card, whose header makes `load_dataset(folder)` work
    croissant.json, prov.json            the same facts as Croissant 1.0 and as W3C PROV
    manifest.json                        every other file with its size and SHA-256, the columns, the node

`stages.publish` says how they get there whole. The store keeps its own files, so `siftloom verify` can still answer for
them and another target costs a copy only; `siftloom clean` removes them like any other result.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.contract import ONE, Address, Context, Law, Node, Result, ShardPhase, TaskPhase, nothing, one, target
from pipeline.errors import DataError, RecipeError
from stages.cards import Dataset, cards
from stages.documents import HELD_OUT, SOURCE_FIELDS, columns_of
from stages.publish import check_target, describe, is_overwritten, publish
from stages.source_fields import layout
from stages.written_rows import FieldsFound, JsonRows, ParquetRows


@dataclass(frozen=True, kw_only=True, eq=False)
class Write(Node):
    """Write the alive rows of `docs`: `files/<shard>.parquet` or `.jsonl.gz`, none for a shard without rows.

    to       a folder, or an `s3://` or `gs://` URI, that gets the files as a dataset which `datasets.load_dataset`,
             pandas and polars open; null = the files stay in the store only
    format   the format of the files; JSON has no NaN and no infinity, so there they are null
    columns  the columns to write, in this order; empty = all columns of the documents. `source_fields` is laid out:
             each field of the source's records stands beside the columns, but for one that has the name of a column
    held_out  write also documents that `split` has marked; else they are left out, so that nobody trains on them

    Errors: `DataError` when the target holds files that this node did not write, or when no row is alive.
    """

    docs: Node
    to: str | None = target()
    format: Literal["parquet", "jsonl.gz"] = "parquet"
    columns: tuple[str, ...] = ()
    held_out: bool = False

    version = 6
    gives = "files"
    made = ("rows",)

    def check(self) -> None:
        have = columns_of(self.docs)
        for name in self.columns:
            if name not in have:
                raise RecipeError(
                    f"write.columns: {name}", "no column of the documents", ", ".join(sorted(have)),
                    f"where the files have it, `keep: [{name}, \"*\"]` in `read`" if SOURCE_FIELDS in have else "",
                )  # fmt: skip
        check_target("write.to", self.to)

    def phases(self):
        law = Law("rows", "rows", ("written", "held_out"))
        marks = (HELD_OUT,) if self._leaves_out() else ()
        fields = ShardPhase(
            name="fields",
            open=lambda ctx: FieldsFound(self._leaves_out()),
            needs=(SOURCE_FIELDS, *marks),
            fields=("held_out",),
            whole=nothing,
        )
        layout = TaskPhase(name="layout", keys=one, run=self._layout, fields=("columns",))
        files = ShardPhase(
            name="files",
            open=self._open,
            needs=tuple(dict.fromkeys((*self._columns(), *marks))),
            law=law,
            fields=("format", "columns", "held_out"),
            whole=nothing,
        )
        # in the driver, since a relative folder and a user's credentials are the driver's
        copy = TaskPhase(name="target", keys=one, run=self._copy, place="driver")
        first = (fields, layout) if self._has_types() else ()
        return (*first, files) if self.to is None else (*first, files, copy)

    def _columns(self) -> dict[str, str]:
        have = columns_of(self.docs)
        return {name: have.get(name, "string") for name in self.columns or have}  # `check` comes after the phases

    def _leaves_out(self) -> bool:
        """Whether the documents have marks, and those that are marked are not written."""
        return not self.held_out and HELD_OUT in columns_of(self.docs)

    def _has_types(self) -> bool:
        """Whether the files have a column of one type for each of the source's fields, as JSON need not."""
        return self.format == "parquet" and SOURCE_FIELDS in self._columns()

    def _layout(self, ctx: Context, key: str) -> Result:
        """Fields of all shards -> their types: the files of a dataset have the same columns."""
        found = [ctx.result("fields", shard).facts["fields"] for shard in ctx.keys("fields")]
        whole = layout(found, self._columns())
        stays = any(name not in whole for each in found for name in each)
        return Result(facts={"types": whole, "stays": stays})

    def predict_bytes(self, rows: int, text_bytes: int) -> int:
        return int(0.45 * text_bytes) + 32 * rows

    def _open(self, ctx: Context) -> ParquetRows | JsonRows:
        taken = (ctx, self._columns(), self._leaves_out())
        if self.format != "parquet":
            return JsonRows(*taken)
        if not self._has_types():
            return ParquetRows(*taken)
        facts = ctx.result("layout", ONE[0]).facts
        return ParquetRows(*taken, facts["types"], facts["stays"])

    def _written(self, ctx: Context) -> dict[str, str]:
        """The columns of the files, those of the source's fields too."""
        own = self._columns()
        if SOURCE_FIELDS not in own:
            return own
        found = [ctx.result("files", shard).facts["fields"] for shard in ctx.keys("files")]
        if self._has_types():
            types, stays = (ctx.result("layout", ONE[0]).facts[name] for name in ("types", "stays"))
        else:
            types = layout(found, own)
            stays = any(name in own for each in found for name in each)
        kind = own.pop(SOURCE_FIELDS)
        return {**own, **types, **({SOURCE_FIELDS: kind} if stays else {})}

    def _copy(self, ctx: Context, key: str) -> Result:
        assert self.to is not None
        paths: list[Path] = []
        counts: Counter[str] = Counter()
        by = {"languages": Counter[str](), "sources": Counter[str]()}
        rows: list[int] = []
        for shard in ctx.keys("files"):
            result = ctx.result("files", shard)
            if result.counts["written"]:
                paths.append(ctx.path("files", shard, f".{self.format}"))
                rows.append(result.counts["written"])
                counts.update(result.counts)
                for name, found in by.items():
                    found.update(result.facts[name])
        if not paths:
            raise DataError("write.to", "no document is left to write", "one document or more")
        copies = {f"data/train-{i:05d}-of-{len(paths):05d}.{self.format}": path for i, path in enumerate(paths)}
        files = {name: {"rows": n} | describe(path) for n, (name, path) in zip(rows, copies.items(), strict=True)}
        dataset = Dataset(
            name=Address(self.to).name,
            node=self,
            fingerprint=ctx.fingerprint(),
            columns=self._written(ctx),
            files=files,
            counts={"text_bytes": counts["text_bytes"], **{name: dict(found) for name, found in by.items()}},
            passed=dict(ctx.behind()),
        )
        facts = {"node": dataset.fingerprint, "rows": dataset.rows, "columns": dict(dataset.columns)}
        manifest = publish(ctx, "write.to", self.to, copies, cards(dataset), facts, files)
        with ctx.create(".json") as path:
            path.write_bytes(manifest)
        return Result(counts={"files": len(paths), "rows": dataset.rows})

    def overwritten(self, ctx: Context) -> str | None:
        return "target" if self.to is not None and is_overwritten(ctx, self.to) else None

    def figures(self, ctx: Context):
        if self.to is not None:
            counts = ctx.result("target", ONE[0]).counts
            held_out = sum(ctx.result("files", shard).counts["held_out"] for shard in ctx.keys("files"))
            rows = [["files", counts["files"]], ["rows", counts["rows"]], ["in", Address(self.to).short()]]
            rows += [["left out, since they are held out", held_out]] if held_out else []
            table = {"kind": "table", "title": "Written dataset", "section": "files"}
            yield table | {"columns": ["", "value"], "rows": rows}
