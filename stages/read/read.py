"""Lay documents down as base shards, from files of many formats; Parquet of plain columns stays in place.

Three phases. `first` counts rows, when a limit says that only the first ones are read. `survey` goes once through the
files that are read in parts (Parquet, and lines or CSV larger than one range, if their first bytes say that they are
plain) and notes where they are cut.
`shards` reads each part into shards, and puts aside, counted by reason, the rows that are none. Ids, cuts, keys and
bytes follow from what the files hold, so that a corpus which grows by a file is read in that file alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from pipeline.bounds import Positive
from pipeline.contract import Context, Law, Node, Result, Source, TaskPhase, reach, runtime, sources
from pipeline.errors import RecipeError
from stages.documents import BASE_COLUMNS, SOURCE, SOURCE_ID, TEXT, document_id
from stages.read import charts, encodings, in_place, parquet, ranges
from stages.read.damaged import Damage, left_out
from stages.read.demo import SCHEMES
from stages.read.framing import Frame
from stages.read.given import Given, Row
from stages.read.keep import REST, KeptFields
from stages.read.layout import OWN_NAMES, SEPARATORS, FileGroup, formats, groups, mark_of, refuse_hub
from stages.read.readers import reader
from stages.read.record_to_row import Fields, Reject
from stages.read.shard_files import Rejected, ShardFiles
from stages.read.streams import Watched, codec_of

FIRST = "first"


@dataclass(frozen=True, kw_only=True, eq=False)
class Read(Node):
    """Documents from files. Adds `source`, `source_id` and the kept columns (see `stages/documents.py`).

    paths        files, folders, globs, `demo://corpus`
    exclude      ends of paths, `*` and `?` among them, that `paths` name and that are not read: `data/broken.jsonl`
    format       `auto` goes by the file's name: .jsonl, .ndjson, .json, .csv, .tsv, .txt, .md, .html, .warc, .wet,
                 .parquet, .arrow, .feather, .tar. The first bytes say whether a file is packed (gzip, zstd, bzip2, xz).
                 Markdown is read as text; a `README.md` above or beside files of other formats is their card
    text, id     the fields that hold the text and the user's own id; `doc.text` is a field in a field
    keep         the fields that travel: `name` (a string column, other values as JSON), `name:type` with int64, float64
                 or bool, `name=field` for a field of another name or in a field (`url=meta.url`); `*` stands for all
                 others, in one column `source_fields`, which `write` lays out again. Rules use named fields
    encoding     of text files: null = UTF-8 (pages: the encoding that they name), the name of a codec, or `detect`
    txt_split    the document of a text file: the whole file, a line, or a paragraph (blank lines between)
    on_damaged   a file that is cut off or corrupt: `fail` ends the run, `skip` leaves it out whole, counts it
                 (`damaged_files`) and names it in the report, with the byte and what was found
    on_error     `reject` puts unusable rows into a side file with id and line, `fail` stops at the first
    shard_bytes  UTF-8 bytes of text in a shard
    range_bytes  plain files of lines or CSV larger than this are read in ranges of about this many bytes
    trust        `listing` takes place, size, times and inode of a file, or the etag of an object, for its digest (lakes
                 too large to hash): a file that is moved or copied is another one then
    limit        rows to read, from the first on, to try a recipe; a later run without a limit reuses the files that
                 this run has read whole

    Errors: `SourceError` (missing), `SourceDamaged`, `SourceChanged`, `DataError` (no text column in a whole file).
    """

    paths: tuple[str, ...] | str = sources(schemes=SCHEMES)
    exclude: tuple[str, ...] = runtime(())  # the digests of those that are left are the identity
    format: Literal["auto", "jsonl", "json", "csv", "tsv", "txt", "html", "warc", "parquet", "arrow", "tar"] = "auto"
    text: str = "text"
    id: str = "id"
    keep: tuple[str, ...] = (REST,)
    encoding: str | None = None
    txt_split: Frame = "file"
    on_damaged: Literal["fail", "skip"] = "fail"
    on_error: Literal["reject", "fail"] = runtime("reject")
    shard_bytes: Positive = 128 * 1024**2
    range_bytes: Positive = 256 * 1024**2
    trust: Literal["digest", "listing"] = runtime("digest")
    limit: Positive | None = reach(None)

    version = 6
    reasons = in_place.REASONS
    new_base = "shards"
    content_keys = True

    @property
    def libraries(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return ("charset-normalizer",) if self.encoding == encodings.DETECT else ()

    def check(self) -> None:
        if self.encoding not in (None, encodings.DETECT) and not encodings.known(self.encoding):
            raise RecipeError("read.encoding", f"{self.encoding!r}", "a codec of Python (`latin-1`), or `detect`")
        for path in (self.paths,) if isinstance(self.paths, str) else self.paths:
            refuse_hub(path, "read.paths")
        self._keep().check()

    def _keep(self) -> KeptFields:
        return KeptFields.parse(self.keep)

    def adds(self) -> dict[str, str]:
        return {SOURCE: "string", SOURCE_ID: "string", **self._keep().columns()}

    def column_hint(self, name: str) -> str:
        named = [entry for entry in self.keep if entry != REST]
        entries = ", ".join([*named, name, *(['"*"'] if REST in self.keep else [])])
        return f"where the files have it, `keep: [{entries}]` in `read`"

    def predict_bytes(self, rows: int, text_bytes: int) -> int:
        return int(0.45 * text_bytes) + 24 * rows

    def source_marks(self, field: str, names: Sequence[str]) -> Sequence[str]:
        return [mark_of(form) for form in formats(names, self.format, "read")]

    def phases(self):
        law = Law("rows", "rows", ("kept", "rejected."))
        return (
            TaskPhase(name=FIRST, keys=self._first_keys, run=self._count),
            TaskPhase(name="survey", keys=self._survey_keys, run=self._survey),
            TaskPhase(name="shards", keys=self._shard_keys, run=self._read, law=law),
        )

    def figures(self, ctx: Context):
        return charts.figures(ctx)

    # which tasks there are ------------------------------------------------------------------------------------------

    def _units(self, ctx: Context) -> Mapping[str, FileGroup]:
        return groups(ctx.sources(), self.format, self.txt_split, self.shard_bytes)

    def _in_parts(self, unit: FileGroup, source: Source) -> bool:
        by_line = unit.form in ("jsonl", *SEPARATORS) or (unit.form == "txt" and self.txt_split == "line")
        return unit.form == "parquet" or (by_line and source.size > self.range_bytes)

    def _wanted(self, ctx: Context) -> Iterator[tuple[FileGroup, int | None]]:
        """Units, and how many rows of each are read (None = all)."""
        found = self._units(ctx)
        if self.limit is None:
            yield from ((unit, None) for unit in found.values())
            return
        (first,) = ctx.keys(FIRST)
        for key, rows in ctx.read_json(FIRST, first):
            yield found[key], rows

    def _first_keys(self, ctx: Context) -> Sequence[str]:
        """The only task reads as many rows as the limit says, of any of the units: its key names both."""
        if self.limit is None:
            return ()
        return (f"{self.limit}-{hashlib.sha256(' '.join(self._units(ctx)).encode()).hexdigest()[:16]}",)

    def _survey_keys(self, ctx: Context) -> Sequence[str]:
        listed = ctx.sources()
        return [u.key for u, rows in self._wanted(ctx) if rows is None and self._in_parts(u, listed[u.files[0]])]

    def _shard_keys(self, ctx: Context) -> Sequence[str]:
        listed, found = ctx.sources(), []
        for unit, rows in self._wanted(ctx):
            if rows is not None:
                found.append(f"{unit.key}-{FIRST}{rows}")
                continue
            parts = ctx.result("survey", unit.key).counts["parts"] if self._in_parts(unit, listed[unit.files[0]]) else 1
            found += [f"{unit.key}-{part:04d}" for part in range(parts)]
        return found

    # the tasks -------------------------------------------------------------------------------------------------------

    def _count(self, ctx: Context, key: str) -> Result:
        """How far a limit reaches: the units that are read, the last of them perhaps in part."""
        left, found = self.limit or 0, []
        for unit in self._units(ctx).values():
            rows = self._rows_up_to(ctx, unit, left + 1)
            found.append([unit.key, None if rows <= left else left])
            left -= min(rows, left)
            if not left:
                break
        with ctx.create(".json") as path:
            path.write_text(json.dumps(found))
        return Result()

    def _rows_up_to(self, ctx: Context, unit: FileGroup, most: int) -> int:
        damage = self._damage(ctx)
        return damage.without(lambda: sum(1 for _ in islice(self._all_rows(ctx, unit, {}, damage), most)))

    def _damage(self, ctx: Context) -> Damage:
        return Damage(ctx, self.on_damaged == "skip", self._digest)

    def _survey(self, ctx: Context, key: str) -> Result:
        damage = self._damage(ctx)
        return damage.without(lambda: self._cut(ctx, self._units(ctx)[key], damage))

    def _cut(self, ctx: Context, unit: FileGroup, damage: Damage) -> Result:
        source = ctx.sources()[unit.files[0]]
        if damage.files:
            return Result(counts={"parts": 1}, facts=damage.facts())  # a part that says so, like other damage
        with damage.of(source), ctx.open_source(source) as stream, ctx.create(".json") as path:
            if unit.form == "parquet":
                plan = self._plan(stream, source)
                if damage.skip:  # so that no part of it is found damaged later
                    parquet.verify(stream, source, plan, self._wanted_fields())
                plan.save(path)
                return Result(counts={"parts": len(plan.runs)})
            whole = codec_of(stream, source) or self.encoding or encodings.marked(stream)
            raw = Watched(stream, source, self._digest(source))
            cuts = [] if whole else ranges.cut(raw, self.range_bytes, SEPARATORS.get(unit.form))
            ranges.save(cuts, path)
            return Result(counts={"parts": 1 if whole else len(cuts)})

    def _wanted_fields(self) -> tuple[str, ...] | None:
        keep = self._keep()
        return None if keep.rest else (self.text, self.id, SOURCE, *(kept.field for kept in keep.named))

    def _plan(self, stream, source: Source) -> parquet.Runs:
        return parquet.survey(stream, source, self.text, self.id, self._keep(), self.shard_bytes)

    def _digest(self, source: Source) -> str | None:
        return None if self.trust == "listing" else source.digest

    def _read(self, ctx: Context, key: str) -> Result:
        damage = self._damage(ctx)
        return damage.without(lambda: self._lay_down(ctx, key, damage))

    def _lay_down(self, ctx: Context, key: str, damage: Damage) -> Result:
        name, _, part = key.rpartition("-")
        unit = self._units(ctx)[name]
        source, rows, piece, run = ctx.sources()[unit.files[0]], None, None, None
        if part.startswith(FIRST):
            rows = int(part.removeprefix(FIRST))
        elif self._in_parts(unit, source) and (found := left_out(ctx.result("survey", name))):
            return found
        elif unit.form == "parquet":
            plan = parquet.Runs.load(ctx.path("survey", name, ".json"))
            if plan.columns is not None:
                return in_place.lay_down(ctx, key, unit, source, plan, plan.runs[int(part)], self.on_error == "fail")
            run = plan.runs[int(part)]
        elif self._in_parts(unit, source) and (cuts := ranges.load(ctx.path("survey", name, ".json"))):
            piece = cuts[int(part)]
        columns = {**BASE_COLUMNS, **self._keep().columns()}
        notes: dict[str, str] = {}
        with (
            Rejected(ctx, self.on_error == "fail") as bad,
            ShardFiles(ctx, key, columns, self.shard_bytes) as out,
        ):
            fields: Fields | None = None
            place: Source | None = None
            for found, number, record in islice(self._all_rows(ctx, unit, notes, damage, piece, run), rows):
                if found is not place or fields is None:
                    if fields is not None:
                        fields.finish()
                    fields, place = self._fields(unit.form, found.name), found
                row_id = document_id(found.digest, number, unit.copy_of(found))
                bad.counts["rows"] += 1
                try:
                    if isinstance(record, Reject):
                        raise record
                    row, size = fields.row(record)
                    out.add(row_id, row, size)
                    bad.counts["kept"] += 1
                except Reject as reject:
                    bad.add(found.name, row_id, number, reject)
            if fields is not None:
                fields.finish()
            bad.leave_out(damage)
        return bad.result(out.shards, notes.values())

    def _fields(self, form: str, place: str) -> Fields:
        text, own_id = (TEXT, "id") if form in OWN_NAMES else (self.text, self.id)
        return Fields(text, own_id, self._keep(), place)

    def _all_rows(
        self,
        ctx: Context,
        unit: FileGroup,
        notes: dict[str, str],
        damage: Damage,
        piece: ranges.Range | None = None,
        run: Sequence[int] | None = None,
    ) -> Iterator[tuple[Source, int, Any]]:
        """(file, row number, record or `Reject`) of the files of a unit, or of a part of its only file."""
        listed = ctx.sources()
        for source in damage.sound(listed[i] for i in unit.files):
            with damage.of(source), ctx.open_source(source) as stream:
                for number, record in self._rows(stream, source, unit.form, notes, piece, run):
                    yield source, number, record

    def _rows(self, stream, source: Source, form: str, notes: dict[str, str], piece, run) -> Iterator[Row]:
        if form == "parquet":
            plan = self._plan(stream, source)
            for each in plan.runs if run is None else [run]:
                yield from parquet.rows(stream, source, plan, each, self._wanted_fields())
            return
        given = Given(source, stream, self._digest(source), self.encoding, self.txt_split, piece)
        yield from reader(form)(given)
        if "encoding" in given.found:
            notes[source.name] = given.found["encoding"]
