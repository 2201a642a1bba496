"""`siftloom init`: look at the user's files, find out what they hold, and write a recipe that runs.

It reads the beginning of a few files, never all of them. Where two columns could be the text it takes the one with the
longest values and says so in the recipe.
"""

from __future__ import annotations

import gzip
import io
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import RecipeError, SourceError
from pipeline.store.sources import Listing, expand

FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".txt": "txt",
    ".text": "txt",
}
PACKED = (".gz", ".zst")
LOOK_FILES, LOOK_ROWS, LOOK_BYTES = 3, 200, 1 << 20
LIKELY_TEXT = ("text", "content", "body", "document", "raw_content", "markdown")
LIKELY_ID = ("id", "doc_id", "document_id", "url", "uuid", "_id")
EXAMPLE = 160  # characters


@dataclass
class Found:
    """What the files hold."""

    path: str
    format: str
    files: int
    bytes: int
    text: str = "text"
    id: str | None = None
    columns: list[str] = field(default_factory=list)
    other_texts: list[str] = field(default_factory=list)
    rows: int = 0  # looked at
    characters: int = 0  # of their texts
    example: str = ""
    skipped: int = 0  # files of other formats under the path

    def to_json(self) -> dict[str, Any]:
        keys = ("path", "format", "files", "bytes", "text", "id", "columns", "example")
        return {key: getattr(self, key) for key in keys} | {"mean_characters": self.mean}

    @property
    def mean(self) -> int:
        return self.characters // max(self.rows, 1)

    def lines(self) -> Iterator[str]:
        """What is said on the terminal."""
        from pipeline.quantities import size

        yield f"{self.path}: {self.files:,} {self.format} files, {size(self.bytes)}"
        if self.skipped:
            yield f"  {self.skipped:,} files of other formats are left out"
        if self.columns:
            yield f"  columns  {', '.join(self.columns)}"
            yield f"  text     {self.text}" + (f" (or {', '.join(self.other_texts)}?)" if self.other_texts else "")
            yield f"  id       {self.id or '(none; documents are named after their file and row)'}"
        yield f"  size     {self.mean:,} characters a document on average, in the first {self.rows:,}"
        yield f"  example  {self.example}"


def look(path: str) -> Found:
    """Raises SourceError for a path that holds nothing readable."""
    listing = expand([path], "init")
    known: dict[str, list[Any]] = {}
    for entry in listing.entries:
        if form := format_of(entry.name):
            known.setdefault(form, []).append(entry)
    if not known:
        endings = sorted({os.path.splitext(entry.name)[1] or entry.name for entry in listing.entries})[:5]
        raise SourceError(
            path, f"files that end in {', '.join(endings)}", f"{', '.join(FORMATS)}, or those with .gz or .zst",
            "convert them, or name a folder that holds such files",
        )  # fmt: skip
    # the format with the most bytes is what the user means; a stray readme.txt is not
    form = max(known, key=lambda name: sum(entry.size for entry in known[name]))
    entries = known[form]
    pattern = (
        path if os.path.isfile(path) or any(c in path for c in "*?[") or "://" in path else _pattern(path, entries)
    )
    found = Found(
        pattern, form, len(entries), sum(entry.size for entry in entries), skipped=len(listing.entries) - len(entries)
    )
    _examine(found, [row for entry in entries[:LOOK_FILES] for row in _first_rows(entry.path, form)])
    return found


def format_of(name: str) -> str | None:
    """The format that a file's name stands for."""
    stem, ending = os.path.splitext(name.lower())
    if ending in PACKED:
        ending = os.path.splitext(stem)[1]
    return FORMATS.get(ending)


def _pattern(folder: str, entries: Sequence[Any]) -> str:
    """The narrowest glob under the folder that holds just these files, or the folder where one does not do."""
    for depth in ("*", "**/*"):
        endings = {"".join(Path(e.name).suffixes[-2 if e.name.endswith(PACKED) else -1 :]) for e in entries}
        if len(endings) == 1:
            pattern = os.path.join(folder, depth + next(iter(endings)))
            try:
                listing: Listing = expand([pattern], "init")
            except SourceError:
                continue
            if len(listing.entries) == len(entries):
                return pattern
    return folder


def _first_rows(path: str, form: str) -> Iterator[dict[str, Any]]:
    if form == "parquet":
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(LOOK_ROWS):
                    yield from batch.to_pylist()
                    return
        except OSError as error:
            raise SourceError(path, f"no Parquet file ({error})", "a Parquet file") from error
        return
    text = _beginning(path).decode("utf-8", "replace")
    if form == "txt":
        yield {"text": text}
        return
    # the last line of a beginning may be cut
    lines = text.splitlines()[: LOOK_ROWS + 1]
    for number, line in enumerate(lines[:-1] if len(lines) > 1 else lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            if number == 1:
                raise SourceError(f"{path}:1", f"no JSON ({error})", "one JSON object a line") from None
            continue  # `read` counts and keeps bad lines; here they only say nothing
        if not isinstance(row, dict):
            raise SourceError(f"{path}:{number}", f"a JSON {type(row).__name__}", "one JSON object a line")
        yield row


def _beginning(path: str) -> bytes:
    from pipeline.store.sources import open_stream

    with open_stream(path) as stream:
        if path.endswith(".gz"):
            with gzip.open(stream) as packed:
                try:
                    return packed.read(LOOK_BYTES)
                except (EOFError, OSError) as error:
                    raise SourceError(path, f"a damaged gzip file ({error})", "a whole gzip file") from error
        if path.endswith(".zst"):
            import pyarrow as pa

            with pa.CompressedInputStream(pa.PythonFile(io.BufferedReader(stream)), "zstd") as packed:
                return packed.read(LOOK_BYTES)
        return stream.read(LOOK_BYTES)


def _examine(found: Found, rows: list[dict[str, Any]]) -> None:
    if not rows:
        raise SourceError(found.path, "no document in the first files", "documents")
    if found.format != "txt":
        found.columns = list(dict.fromkeys(key for row in rows for key in row))
        lengths = {key: sum(len(row[key]) for row in rows if isinstance(row.get(key), str)) for key in found.columns}
        texts = sorted((key for key in lengths if lengths[key]), key=lambda key: -lengths[key])
        if not texts:
            raise SourceError(found.path, f"no column of text among {', '.join(found.columns)}", "a column of text")
        named = [key for key in LIKELY_TEXT if key in texts]
        found.text = named[0] if named else texts[0]
        found.other_texts = [key for key in texts if key != found.text and lengths[key] * 2 > lengths[found.text]]
        found.id = next((key for key in LIKELY_ID if key in found.columns), None)
    values = [row[found.text] for row in rows if isinstance(row.get(found.text), str)]
    found.rows, found.characters = len(values), sum(map(len, values))
    line = " ".join(next((value for value in values if value.strip()), "").split())
    found.example = line if len(line) <= EXAMPLE else line[: EXAMPLE - 3] + "..."


def write_recipe(found: Found, out: str, force: bool) -> None:
    """Raises RecipeError when a recipe is there already, unless forced."""
    path = Path(out)
    if path.exists() and not force:
        raise RecipeError(out, "there is a file already", "a new name", f"siftloom init {found.path} --out OTHER.yaml")
    path.write_text(recipe_for(found, path), encoding="utf-8")


def recipe_for(found: Found, out: Path) -> str:
    """The recipe's text: curation up to the held-out split, then a small model to see the whole way."""
    from pipeline.recipe.write import flow

    name, folder = out.name, out.absolute().parent
    where = found.path if "://" in found.path else os.path.relpath(os.path.expanduser(found.path), folder)
    read: dict[str, Any] = {"use": "read", "paths": [where]}
    if found.format != "txt":
        read |= {"text": found.text} if found.text != "text" else {}
        read |= {"id": found.id} if found.id not in (None, "id") else {}
    hint = f"  # or text: {', '.join(found.other_texts)}" if found.other_texts else ""
    return f"""\
# {found.files:,} {found.format} files, about {found.mean:,} characters a document.
#   siftloom plan {name}            what would be done, and why; nothing runs
#   siftloom run {name} --limit 10000   try it on the first documents
#   siftloom run {name}             all of it; the same command again goes on
name: first
store: runs/
nodes:
  docs: {flow(read)}{hint}
  english: {{use: language, docs: docs, keep: [en]}}  # ISO 639-1 codes
  plain: {{use: gopher_quality, docs: english}}
  clean: {{use: gopher_repetition, docs: plain}}
  distinct: {{use: exact_dedup, docs: clean}}
  unique: {{use: minhash_dedup, docs: distinct, min_jaccard: 0.6}}
  once: {{use: split, docs: unique, held_out: 0.02}}

  # a small model, to see the whole way; stop before it with `siftloom run ... once`
  tokenizer: {{use: tokenizer, docs: once, vocab_size: 4096}}
  rows: {{use: pack, docs: once, tokenizer: tokenizer, length: 256}}
  lost: {{use: pretrain, rows: rows, model: {{lost: 1m, rank: 16, density: 0.05}}, steps: 200}}
  dense: {{use: pretrain, rows: rows, model: {{llama: 1m}}, steps: 200}}
  table: {{use: compare, runs: [lost, dense]}}
"""
