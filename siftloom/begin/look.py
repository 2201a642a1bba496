"""Look at a user's files: their formats, where the text is, its languages, and which files are damaged.

It reads the beginning of a few files of each format, never all of them, with the readers of `read`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from pipeline.errors import RecipeError, SiftloomError, SourceError
from pipeline.files.sources import expand, open_stream
from siftloom.begin.findings import Findings, Kind
from siftloom.begin.prose import LIKELY_ID, flat, languages_of, text_fields, without_markup
from stages.read.encodings import DETECT
from stages.read.first_records import first_records
from stages.read.layout import (
    FORMATS,
    ONE_DOCUMENT,
    OWN_NAMES,
    dataset_notes,
    format_of,
    require_library,
)
from stages.read.record_to_row import Reject
from stages.read.streams import PACKED_ENDINGS

PACKED_TEXT = 3  # bytes of text in a byte of a compressed file, about
LOOK_FILES, LOOK_ROWS = 12, 200  # files of a format that are looked at, and rows of each
URL = "url"
# where the address of a page stands: in columns of one's own, and in what tools for Common Crawl write
ADDRESSES = (
    URL,
    "metadata.WARC-Target-URI",
    "warc_headers.warc-target-uri",
    "WARC-Target-URI",
    "metadata.url",
    "meta.url",
)
PAGES = ("html", "warc")  # formats whose text is HTML
EXAMPLE = 160  # characters
LONG = 1_000_000  # characters of a document that is named, and left out of the average


def look(path: str, note: Callable[[str], None] = lambda text: None) -> Findings:
    """Look at a file, a folder or a glob; `note` gets a line before the files are opened.

    Raises SourceError for a path that holds nothing readable.
    """
    damaged: dict[str, str] = {}

    def unusable(name: str, error: SourceError) -> None:
        damaged[name] = error.found

    entries = expand([path], "init", unusable=unusable).entries
    note(f"looking at {len(entries):,} files in {path}...")
    notes = dataset_notes([entry.name for entry in entries])
    by_format: dict[str, list[Any]] = {}
    left_out: Counter[str] = Counter()
    for entry in entries:
        form = format_of(entry.name)
        if form is None:
            left_out[PurePath(entry.name).suffix or PurePath(entry.name).name] += 1
        elif entry.name not in notes:
            pages = form == "html" or (form == "warc" and ".wet" not in entry.name.lower())
            by_format.setdefault(f"{form} pages" if pages else form, []).append(entry)
    if not by_format:
        raise SourceError(
            path, f"files that end in {', '.join(sorted(left_out)[:5])}",
            f"{', '.join(FORMATS)}, or those with .gz or .zst", "convert them, or name a folder that holds such files",
        )  # fmt: skip
    empty = [str(entry.path) for entries in by_format.values() for entry in entries if not entry.size]
    found = Findings(path, [], dict(left_out), {}, damaged, {}, "", empty)
    texts: list[str] = []
    for name, taken in by_format.items():
        form, _, pages = name.partition(" ")
        try:
            require_library(form, "init")
        except RecipeError as error:
            found.unused[form] = f"{error.found}; {error.then}"
            continue
        for files in _alike(form, taken, found.damaged):
            kind = Kind([form], pages=bool(pages))
            try:
                texts += _examine(kind, files)
            except SourceError as error:
                found.unused[form] = error.found
            else:
                _add(found.kinds, kind)
    if not found.kinds:
        name, why = next(iter({**found.damaged, **found.unused}.items()))
        place = name if name in found.damaged else path
        raise SourceError(place, why, "files that hold documents", "name the text field in a recipe: `text:` of `read`")
    found.kinds.sort(key=lambda kind: kind.pages)
    line = " ".join(next((text for text in texts if text.strip()), "").split())
    found.example = line if len(line) <= EXAMPLE else line[: EXAMPLE - 3] + "..."
    counts = languages_of([text for text in texts if text.strip()])
    found.languages = {code: round(count / len(texts), 3) for code, count in counts.most_common()}
    return found


def _add(kinds: list[Kind], kind: Kind) -> None:
    for other in kinds:
        if other.joins(kind):
            other.join(kind)
            return
    kinds.append(kind)


@dataclass
class Looked:
    """A file, and its first rows where it was opened."""

    entry: Any
    rows: list[Mapping[str, Any]] = field(default_factory=list)
    not_utf8: int = 0  # rows that are no UTF-8


def _alike(form: str, taken: Sequence[Any], damaged: dict[str, str]) -> list[list[Looked]]:
    """Return the files of one format, apart where the text has other names; damaged ones are named and left out.

    A few files are opened, and all of them where those few differ.
    """
    found = _opened(form, taken, set(_spread(len(taken), LOOK_FILES)), damaged)
    if form in OWN_NAMES or len({_text_of(looked) for looked in found if looked.rows}) < 2:
        return [found]
    groups: dict[str, list[Looked]] = {}
    for looked in _opened(form, [looked.entry for looked in found], set(range(len(found))), damaged):
        groups.setdefault(_text_of(looked), []).append(looked)
    return list(groups.values())


def _opened(form: str, taken: Sequence[Any], wanted: set[int], damaged: dict[str, str]) -> list[Looked]:
    found = []
    for number, entry in enumerate(taken):
        looked = Looked(entry)
        if number in wanted:
            try:
                _read(looked, form)
            except (SiftloomError, OSError, ValueError) as error:
                damaged[str(entry.path)] = str(error).removeprefix(str(entry.path)).lstrip(": ")
                continue
        found.append(looked)
    return found


def _text_of(looked: Looked) -> str:
    records = [dict(flat(row)) for row in looked.rows]
    return next(iter(text_fields(records, list(dict.fromkeys(key for row in records for key in row)))), "")


def _examine(kind: Kind, files: Sequence[Looked]) -> list[str]:
    """Fill in what files of one format hold. Return the texts looked at. Raises SourceError where there are none."""
    (form,) = kind.formats
    rows = [row for looked in files for row in looked.rows]
    kind.files = [str(looked.entry.path) for looked in files]
    kind.bytes = sum(looked.entry.size for looked in files)
    kind.not_utf8 = sum(looked.not_utf8 for looked in files)
    kind.encoding = DETECT if kind.not_utf8 else None
    if not rows:
        raise SourceError(form, f"no document in the {form} files", "documents")
    records = [dict(flat(row)) for row in rows]
    name, kind.url = "text", URL if form == "warc" else None
    if form not in OWN_NAMES:
        kind.columns = list(dict.fromkeys(key for row in records for key in row))
        fields = text_fields(records, kind.columns)
        if not fields:
            raise SourceError(form, f"no column of text among {', '.join(kind.columns)}", "a column of sentences")
        kind.text = name = next(iter(fields))
        kind.other_texts = [key for key in fields if key != name and fields[key] * 2 > fields[name]]
        having = (name for name in ADDRESSES if all(isinstance(row.get(name), str) for row in records))
        kind.url = next((name if name == URL else f"{URL}={name}" for name in having), None)
        kind.id = next((key for key in LIKELY_ID if key in kind.columns and key != name), None)
    texts = [row[name] for row in records if isinstance(row.get(name), str)]
    usual = [text for text in texts if len(text) <= LONG] or texts
    kind.rows, kind.characters = len(usual), sum(map(len, usual))
    kind.odd_files = [str(looked.entry.path) for looked in files if looked.not_utf8]
    for looked in files:
        longest = max(
            (len(text) for row in looked.rows if isinstance(text := dict(flat(row)).get(name), str)), default=0
        )
        kind.long_rows |= {str(looked.entry.path): longest} if longest > LONG else {}
    kind.documents = len(kind.files) if form in ONE_DOCUMENT else _count(kind, rows)
    return [without_markup(text) for text in texts] if kind.pages else texts


def _read(looked: Looked, form: str) -> None:
    """Read the first rows of a file, with its encoding detected where they are not UTF-8."""
    entry = looked.entry
    for encoding in (None, DETECT):
        with open_stream(entry.path) as stream:
            records = first_records(stream, str(entry.path), entry.size, form, LOOK_ROWS, encoding)
        looked.rows = [record for record in records if not isinstance(record, Reject)]
        rejects = [record.reason for record in records if isinstance(record, Reject)]
        if "invalid_utf8" not in rejects or form == "parquet":
            break
        looked.not_utf8 += rejects.count("invalid_utf8")
    if not looked.rows and rejects:
        raise SourceError(str(entry.path), f"no row can be used ({rejects[0]})", f"a readable {form} file")


def _count(kind: Kind, rows: Sequence[Mapping[str, Any]]) -> int:
    """Return about how many documents files of records hold, from the size of the rows that were looked at."""
    packed = kind.formats == ["parquet"] or any(name.endswith(PACKED_ENDINGS) for name in kind.files)
    sizes = [len(json.dumps(row, default=str, ensure_ascii=False)) for row in rows]
    usual = [
        size for size in sizes if size <= LONG
    ] or sizes  # one document as long as a thousand says nothing of others
    left = kind.bytes * (PACKED_TEXT if packed else 1) - sum(size for size in sizes if size > LONG)
    return max(len(rows), left * len(usual) // max(sum(usual), 1))


def _spread(count: int, most: int) -> list[int]:
    """Return at most so many numbers below `count`, evenly, with the first and the last."""
    if count <= most:
        return list(range(count))
    return [round(i * (count - 1) / (most - 1)) for i in range(most)]
