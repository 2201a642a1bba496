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
PAGES = ("html", "warc")  # formats whose text is HTML
EXAMPLE = 160  # characters
SHARE = 0.1  # of the documents that a language must have to be kept


@dataclass
class Kind:
    """Files that one `read` takes with the same fields: at first those of one format. Sizes are bytes."""

    formats: list[str]
    files: list[str] = field(default_factory=list)
    bytes: int = 0
    text: str | None = None  # the field that holds the text; None where a format has only one
    id: str | None = None
    url: str | None = None  # the field that holds the address of a page, in every row that was looked at
    columns: list[str] = field(default_factory=list)
    other_texts: list[str] = field(default_factory=list)
    encoding: str | None = None
    pages: bool = False  # whether the text is HTML
    documents: int = 0  # about
    rows: int = 0  # looked at
    characters: int = 0  # of their texts
    not_utf8: int = 0  # rows that are not UTF-8

    def joins(self, other: Kind) -> bool:
        """Return whether one `read` can take both: equal names of fields, or formats without names."""
        return self.pages == other.pages and all(
            None in (one, two) or one == two for one, two in ((self.text, other.text), (self.id, other.id))
        )

    def join(self, other: Kind) -> None:
        for name in ("formats", "files", "columns", "other_texts"):
            both = [*getattr(self, name), *getattr(other, name)]
            setattr(self, name, list(dict.fromkeys(both)))
        for name in ("bytes", "documents", "rows", "characters", "not_utf8"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.text, self.id = self.text or other.text, self.id or other.id
        self.url = self.url if self.url == other.url else None
        self.encoding = self.encoding or other.encoding


@dataclass
class Findings:
    """The contents of the files. Shares are of the documents that were looked at."""

    path: str
    kinds: list[Kind]
    left_out: dict[str, int]  # ending of files that `read` does not read -> how many
    unused: dict[str, str]  # formats that are read, but not here -> why
    damaged: dict[str, str]  # path -> what is wrong
    languages: dict[str, float]
    example: str

    def to_json(self) -> dict[str, Any]:
        keys = ("path", "left_out", "unused", "damaged", "languages", "example")
        kinds = [
            {key: value for key, value in vars(kind).items() if key not in ("files", "rows", "characters")}
            | {"files": len(kind.files)}
            for kind in self.kinds
        ]
        return {key: getattr(self, key) for key in keys} | {
            "kinds": kinds, "files": self.files, "bytes": self.bytes, "documents": self.documents,
            "mean_characters": self.mean,
        }  # fmt: skip

    @property
    def files(self) -> int:
        return sum(len(kind.files) for kind in self.kinds)

    @property
    def bytes(self) -> int:
        return sum(kind.bytes for kind in self.kinds)

    @property
    def documents(self) -> int:
        return sum(kind.documents for kind in self.kinds)

    @property
    def mean(self) -> int:
        return sum(kind.characters for kind in self.kinds) // max(sum(kind.rows for kind in self.kinds), 1)

    @property
    def kept_languages(self) -> list[str]:
        """Return the languages of a tenth of the documents or more, or else the most frequent one."""
        frequent = [code for code, share in self.languages.items() if share >= SHARE]
        return frequent or list(self.languages)[:1] or ["en"]


def look(path: str, note: Callable[[str], None] = lambda text: None) -> Findings:
    """Look at a file, a folder or a glob; `note` gets a line before the files are opened.

    Raises SourceError for a path that holds nothing readable.
    """
    entries = expand([path], "init").entries
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
    found = Findings(path, [], dict(left_out), {}, {}, {}, "")
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
        kind.url = URL if all(isinstance(row.get(URL), str) for row in rows) else None
        kind.id = next((key for key in LIKELY_ID if key in kind.columns and key != name), None)
    texts = [row[name] for row in records if isinstance(row.get(name), str)]
    kind.rows, kind.characters = len(texts), sum(map(len, texts))
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
    row_bytes = sum(len(json.dumps(row, default=str, ensure_ascii=False)) for row in rows)
    return max(len(rows), kind.bytes * (PACKED_TEXT if packed else 1) * len(rows) // max(row_bytes, 1))


def _spread(count: int, most: int) -> list[int]:
    """Return at most so many numbers below `count`, evenly, with the first and the last."""
    if count <= most:
        return list(range(count))
    return [round(i * (count - 1) / (most - 1)) for i in range(most)]
