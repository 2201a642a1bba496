"""Lay documents down as base shards: JSON lines (plain, gzip, zstd), text files, Parquet in place.

Two phases. `survey` goes once through the files that are read in parts (Parquet, and plain lines larger than
one range) and notes where they are cut. `shards` reads each part into shards, and puts aside, counted by
reason, the rows that are none. Ids, cuts and bytes follow from the files alone.

Leaves out HTML and WARC, which have documents to extract first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import PurePosixPath
from typing import Literal

from pipeline.contract import (
    Context,
    InPlace,
    Law,
    NewShard,
    Node,
    Result,
    Source,
    TaskPhase,
    runtime,
    shard_facts,
    sources,
)
from pipeline.errors import RecipeError, SourceError
from stages.documents import BASE_COLUMNS, RESERVED, SOURCE, SOURCE_ID, document_id
from stages.read import parquet, ranges
from stages.read.framing import Frame, cut
from stages.read.records import KINDS, JsonRows, Reject, decode, usable
from stages.read.shard_files import Rejected, ShardFiles
from stages.read.streams import CODECS, Watched, decompress, without_bom

FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".txt": "txt",
    ".text": "txt",
}
FILES_A_TASK = 4096  # of text files with one document each


@dataclass(frozen=True)
class Part:
    """What one task reads: whole files, or a range of one, or a run of row groups of one."""

    key: str
    files: tuple[Source, ...]
    bytes: ranges.Range | None = None
    groups: list[int] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Read(Node):
    """Documents from files. Adds `source`, `source_id` and the kept columns; `stages/documents.py` says what
    they mean.

    paths        files, folders, globs, `demo://corpus`
    format       `auto` goes by the file's name: .jsonl, .ndjson, .json, .txt (with or without .gz, .zst), .parquet
    text, id     the fields that hold the text and the user's own id
    keep         more fields to carry: `name` (a string column, other values as JSON), or `name:type` with
                 int64, float64 or bool
    txt_split    what a document is in a text file: the file, a line, or a paragraph (blank lines between)
    on_error     `reject` puts unusable rows into a side file with file and line, `fail` stops at the first
    shard_bytes  UTF-8 bytes of text in a shard
    range_bytes  plain files of lines larger than this are read in ranges of about this many bytes
    trust        `listing` takes names, sizes and times of the files for their digests (lakes too large to hash)
    limit        read no more than the first so many rows, to try a recipe; of Parquet, whole row groups up to there

    Errors: `SourceError` (missing, damaged, cut off), `SourceChanged`, `DataError` (no text column in a whole
    file).
    """

    paths: tuple[str, ...] | str = sources()
    format: Literal["auto", "jsonl", "parquet", "txt"] = "auto"
    text: str = "text"
    id: str = "id"
    keep: tuple[str, ...] = ()
    txt_split: Frame = "file"
    on_error: Literal["reject", "fail"] = runtime("reject")
    shard_bytes: int = 128 * 1024**2
    range_bytes: int = 256 * 1024**2
    trust: Literal["digest", "listing"] = runtime("digest")
    limit: int | None = None

    version = 1
    reasons = parquet.REASONS
    new_base = "shards"

    def check(self) -> None:
        if self.shard_bytes < 1 or self.range_bytes < 1:
            raise RecipeError("read", "shard_bytes or range_bytes below 1", "a number of bytes")
        if self.limit is not None and self.limit < 1:
            raise RecipeError("read.limit", f"{self.limit}", "at least 1 row, or null for all")
        for name, kind in self._kept().items():
            if kind not in KINDS:
                raise RecipeError(f"read.keep: {name}:{kind}", f"the type {kind!r}", f"one of {', '.join(KINDS)}")
            if name in RESERVED:
                raise RecipeError(f"read.keep: {name}", "a name that every base has already", "another field")

    def _kept(self) -> dict[str, str]:
        return {name: kind or "string" for name, _, kind in (entry.partition(":") for entry in self.keep)}

    def adds(self) -> dict[str, str]:
        return {SOURCE: "string", SOURCE_ID: "string", **self._kept()}

    def predict_bytes(self, rows: int, text_bytes: int) -> int:
        return int(0.45 * text_bytes) + 24 * rows

    def phases(self):
        law = Law("rows", "rows", ("kept", "rejected."))
        return (
            TaskPhase(name="survey", keys=self._survey_keys, run=self._survey),
            TaskPhase(name="shards", keys=self._shard_keys, run=self._read, law=law),
        )

    def figures(self, ctx: Context):
        aside: Counter[str] = Counter()
        for key in ctx.keys("shards"):
            for name, count in ctx.result("shards", key).counts.items():
                if name.startswith("rejected."):
                    aside[name.removeprefix("rejected.")] += count
        if not aside:
            return ()
        labels = sorted(aside)
        return [{"kind": "bars", "title": "Rows put aside", "labels": labels, "values": [aside[n] for n in labels]}]

    # which parts there are
    # -------------------------------------------------------------------------------------------

    def _layout(self, source: Source) -> tuple[str, str | None]:
        """Format and codec of a file."""
        path = PurePosixPath(source.name)
        codec = CODECS.get(path.suffix.lower())
        suffix = path.with_suffix("").suffix.lower() if codec else path.suffix.lower()
        form = FORMATS.get(suffix) if self.format == "auto" else self.format
        if form is None or (form == "parquet" and codec):
            raise SourceError(
                source.name, "a name that does not say how to read it", f"{', '.join(FORMATS)}, also .gz, .zst",
                "set `format:` in `read`, or a narrower glob in `paths`",
            )  # fmt: skip
        return form, codec

    def _in_parts(self, source: Source) -> bool:
        form, codec = self._layout(source)
        by_line = form == "jsonl" or (form == "txt" and self.txt_split == "line")
        ranged = by_line and codec is None and source.size > self.range_bytes and self.limit is None
        return form == "parquet" or ranged

    def _one_document_each(self, source: Source) -> bool:
        return self.txt_split == "file" and self._layout(source)[0] == "txt"

    def _survey_keys(self, ctx: Context) -> Sequence[str]:
        return [f"{source.index:05d}" for source in ctx.sources() if self._in_parts(source)]

    def _shard_keys(self, ctx: Context) -> Sequence[str]:
        return [part.key for part in self._parts(ctx)]

    def _parts(self, ctx: Context, first: int | None = None) -> Iterator[Part]:
        """All parts, or those whose first file has this index."""
        if self.limit is not None:
            yield from (part for part in self._first_parts(ctx) if first in (None, part.files[0].index))
            return
        for small, run in groupby(ctx.sources(), self._one_document_each):
            for files in self._bundles(run) if small else ((source,) for source in run):
                if first is None or files[0].index == first:
                    yield from self._parts_of(ctx, files)

    def _first_parts(self, ctx: Context) -> Iterator[Part]:
        """Under a limit: one part for the files that are copied, and row groups until there are enough."""
        copied = tuple(source for source in ctx.sources() if not self._in_parts(source))
        if copied:
            yield Part(f"{copied[0].index:05d}-0000", copied)
        left = self.limit or 0
        for source in ctx.sources():
            for part in self._parts_of(ctx, (source,)) if self._in_parts(source) else ():
                if left > 0 and part.groups is not None:
                    yield part
                    left -= part.groups[3]

    def _parts_of(self, ctx: Context, files: tuple[Source, ...]) -> Iterator[Part]:
        key = f"{files[0].index:05d}"
        if not self._in_parts(files[0]):
            yield Part(f"{key}-0000", files)
        elif self._layout(files[0])[0] == "parquet":
            plan = parquet.Runs.load(ctx.path("survey", key, ".json"))
            for i, run in enumerate(plan.runs):
                yield Part(f"{key}-{i:04d}", files, groups=run)
        else:
            for i, piece in enumerate(ranges.load(ctx.path("survey", key, ".json"))):
                yield Part(f"{key}-{i:04d}", files, bytes=piece)

    def _bundles(self, run: Iterator[Source]) -> Iterator[tuple[Source, ...]]:
        """Files of one document each, many to a task: a shard a file would be all overhead."""
        bundle: list[Source] = []
        size = 0
        for source in run:
            if bundle and (size + source.size > self.shard_bytes or len(bundle) == FILES_A_TASK):
                yield tuple(bundle)
                bundle, size = [], 0
            bundle.append(source)
            size += source.size
        if bundle:
            yield tuple(bundle)

    # the tasks
    # -------------------------------------------------------------------------------------------------------

    def _survey(self, ctx: Context, key: str) -> Result:
        source = ctx.sources()[int(key)]
        with ctx.open_source(source) as stream, ctx.create(".json") as path:
            if self._layout(source)[0] == "parquet":
                plan = parquet.survey(stream, source, self.text, self.id, self._kept(), self.shard_bytes)
                plan.save(path)
                return Result(counts={"parts": len(plan.runs)})
            cuts = ranges.cut(Watched(stream, source, self._digest(source)), self.range_bytes)
            ranges.save(cuts, path)
            return Result(counts={"parts": len(cuts)})

    def _digest(self, source: Source) -> str | None:
        return None if self.trust == "listing" else source.digest

    def _read(self, ctx: Context, key: str) -> Result:
        part = next(p for p in self._parts(ctx, int(key.split("-")[0])) if p.key == key)
        if part.groups is not None:
            return self._in_place(ctx, part)
        columns = {**BASE_COLUMNS, **self._kept()}
        with (
            Rejected(ctx, self.on_error == "fail") as bad,
            ShardFiles(ctx, key, columns, self.shard_bytes) as out,
        ):
            for source in part.files:
                if self._enough(bad):
                    break
                self._copy(ctx, source, part.bytes, bad, out)
        return bad.result(out.shards)

    def _enough(self, bad: Rejected) -> bool:
        return self.limit is not None and bad.counts["rows"] >= self.limit

    def _copy(self, ctx: Context, source: Source, piece: ranges.Range | None, bad: Rejected, out: ShardFiles) -> None:
        form, codec = self._layout(source)
        parse = JsonRows(self.text, self.id, self._kept(), source.name) if form == "jsonl" else None
        nothing = (None,) * (2 + len(self.keep))
        frame = "line" if form == "jsonl" else self.txt_split
        with ctx.open_source(source) as stream:
            if piece is None:
                raw, first = Watched(stream, source, self._digest(source)), 0
            else:
                raw, first = Watched(stream, source, piece.digest, piece.start, piece.stop), piece.line
            for number, data in cut(without_bom(decompress(raw, codec)), frame, first):
                bad.counts["rows"] += 1
                try:
                    if data is None:
                        raise Reject("too_long")
                    if parse is not None:
                        row, size = parse.row(data)
                    else:
                        text = decode(data)
                        row, size = (text, *nothing), usable(text)
                    out.add(document_id(source.digest, number), row, size)
                    bad.counts["kept"] += 1
                except Reject as reject:
                    bad.add(source.name, source.digest, number, reject.args[0], data)
                if self._enough(bad):
                    break
        if parse is not None:
            parse.finish()

    def _in_place(self, ctx: Context, part: Part) -> Result:
        source, run = part.files[0], part.groups
        assert run is not None
        plan = parquet.Runs.load(ctx.path("survey", f"{source.index:05d}", ".json"))
        with ctx.open_source(source) as stream:
            state, text_bytes = parquet.examine(stream, source, plan, run)
        counts = {"rows": len(state), "kept": 0}
        for entry in state.value_counts().to_pylist():
            name = "kept" if entry["values"] == 0 else self.reasons[entry["values"] - 1].replace("read.", "rejected.")
            counts[name] = entry["counts"]
        if self.on_error == "fail" and counts["kept"] < len(state):
            row = run[2] + next(i for i, s in enumerate(state.to_pylist()) if s)
            raise SourceError(f"{source.name}: row {row}", "no usable text", "a document", "set `on_error: reject`")
        ext = parquet.write_state(ctx, state)
        place = InPlace(
            source=source.index,
            digest=source.digest,
            row_groups=(run[0], run[1]),
            first_row=run[2],
            columns=plan.columns,
        )
        shard = NewShard(key=part.key, rows=len(state), text_bytes=text_bytes, in_place=place, state_ext=ext or None)
        return Result(counts=counts, facts=shard_facts([shard]))
