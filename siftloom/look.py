"""Look at a user's files: their format, where the text is, its languages, and which files are damaged.

It reads the beginning of a few files, never all of them.
"""

from __future__ import annotations

import gzip
import io
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import MissingExtra, SiftloomError, SourceError
from pipeline.store.sources import expand

FORMATS = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".parquet": "parquet", ".txt": "txt", ".text": "txt",
}  # fmt: skip
PACKED = (".gz", ".zst")
PACKED_TEXT = 3  # bytes of text in a byte of a compressed file, about
LOOK_FILES, LOOK_ROWS, LOOK_BYTES = 12, 200, 1 << 20  # files looked at, rows and bytes of each
LIKELY_TEXT = ("text", "content", "body", "document", "raw_content", "markdown")
LIKELY_ID = ("id", "doc_id", "document_id", "url", "uuid", "_id")
EXAMPLE = 160  # characters
SHARE = 0.1  # of the documents that a language must have to be kept
SURE = 0.5  # probability from which on a document counts for its language


@dataclass
class Found:
    """What the files hold. Sizes are bytes; shares are of the documents that were looked at."""

    path: str
    format: str
    files: list[str]  # paths of the files that are taken
    bytes: int
    text: str = "text"
    id: str | None = None
    columns: list[str] = field(default_factory=list)
    other_texts: list[str] = field(default_factory=list)
    languages: dict[str, float] = field(default_factory=dict)
    rows: int = 0  # looked at
    characters: int = 0  # of their texts
    row_bytes: int = 0  # of the rows with all their fields, about
    example: str = ""
    left_out: dict[str, int] = field(default_factory=dict)  # ending of files of other formats -> how many
    damaged: dict[str, str] = field(default_factory=dict)  # path -> what is wrong
    not_utf8: int = 0  # documents with bytes that are no UTF-8

    def to_json(self) -> dict[str, Any]:
        keys = ("path", "format", "bytes", "text", "id", "columns", "languages", "example", "left_out", "damaged")
        return {key: getattr(self, key) for key in keys} | {
            "files": len(self.files), "mean_characters": self.mean, "documents": self.documents,
        }  # fmt: skip

    @property
    def mean(self) -> int:
        return self.characters // max(self.rows, 1)

    @property
    def documents(self) -> int:
        """About how many documents there are."""
        if self.format == "txt":
            return len(self.files)
        packed = self.format == "parquet" or any(name.endswith(PACKED) for name in self.files)
        return max(self.rows, self.bytes * (PACKED_TEXT if packed else 1) * self.rows // max(self.row_bytes, 1))

    @property
    def kept_languages(self) -> list[str]:
        """The languages that a tenth of the documents or more are in, at least the most frequent one."""
        frequent = [code for code, share in self.languages.items() if share >= SHARE]
        return frequent or list(self.languages)[:1] or ["en"]


def look(path: str) -> Found:
    """Look at a file, a folder or a glob. Raises SourceError for a path that holds nothing readable."""
    entries = expand([path], "init").entries
    by_format: dict[str, list[Any]] = {}
    left_out: Counter[str] = Counter()
    for entry in entries:
        form = format_of(entry.name)
        if form:
            by_format.setdefault(form, []).append(entry)
        else:
            left_out[os.path.splitext(entry.name)[1] or entry.name] += 1
    if not by_format:
        raise SourceError(
            path, f"files that end in {', '.join(sorted(left_out)[:5])}",
            f"{', '.join(FORMATS)}, or those with .gz or .zst", "convert them, or name a folder that holds such files",
        )  # fmt: skip
    # the format with the most bytes is what the user means; a stray readme.txt is not
    form = max(by_format, key=lambda name: sum(entry.size for entry in by_format[name]))
    for other, stray in by_format.items():
        if other != form:
            left_out.update(os.path.splitext(entry.name)[1] for entry in stray)
    taken = by_format[form]
    found = Found(path, form, [], 0, left_out=dict(left_out))
    rows: list[dict[str, Any]] = []
    looked_at = set(_spread(len(taken), LOOK_FILES))
    for number, entry in enumerate(taken):
        if number in looked_at:
            try:
                rows += _first_rows(entry.path, form)
            except (SiftloomError, OSError, ValueError) as error:
                found.damaged[entry.path] = str(error).removeprefix(entry.path).lstrip(": ")
                continue
        found.files.append(entry.path)
        found.bytes += entry.size
    if not rows and found.damaged:
        name, why = next(iter(found.damaged.items()))
        raise SourceError(name, why, f"a readable {form} file")
    _examine(found, rows)
    return found


def format_of(name: str) -> str | None:
    """Return the format that a file's name stands for."""
    stem, ending = os.path.splitext(name.lower())
    if ending in PACKED:
        ending = os.path.splitext(stem)[1]
    return FORMATS.get(ending)


def _spread(count: int, most: int) -> list[int]:
    """Return at most so many numbers below `count`, evenly, with the first and the last."""
    if count <= most:
        return list(range(count))
    return [round(i * (count - 1) / (most - 1)) for i in range(most)]


def _first_rows(path: str, form: str) -> Iterator[dict[str, Any]]:
    if form == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(LOOK_ROWS):
                    yield from batch.to_pylist()
                    return
        except (OSError, pa.ArrowException) as error:
            raise SourceError(path, f"not a Parquet file ({error})", "a Parquet file") from error
        return
    text = _beginning(path).decode("utf-8-sig", "replace")
    if form == "txt":
        yield {"text": text}
    elif text.lstrip().startswith("["):
        yield from _array(path, text)
    else:
        yield from _lines(path, text)


def _lines(path: str, text: str) -> Iterator[dict[str, Any]]:
    lines = text.splitlines()
    whole = lines if text.endswith("\n") or len(lines) == 1 else lines[:-1]  # the last one may be cut
    for number, line in enumerate(whole[:LOOK_ROWS], 1):
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


def _array(path: str, text: str) -> Iterator[dict[str, Any]]:
    """Yield the first objects of a JSON array, which may be cut."""
    decoder, at = json.JSONDecoder(), text.index("[") + 1
    for _ in range(LOOK_ROWS):
        at = len(text) - len(text[at:].lstrip(" \t\r\n,"))
        try:
            row, at = decoder.raw_decode(text, at)
        except ValueError:
            return
        if not isinstance(row, dict):
            raise SourceError(path, f"a JSON array of {type(row).__name__}", "an array of objects")
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


def _examine(found: Found, rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        raise SourceError(found.path, "no document in the first files", "documents")
    flat = [dict(_flat(row)) for row in rows]
    if found.format != "txt":
        found.columns = list(dict.fromkeys(key for row in flat for key in row))
        texts = _texts(flat, found.columns)
        if not texts:
            raise SourceError(
                found.path, f"no column of text among {', '.join(found.columns)}", "a column that holds sentences",
                "name it in a recipe of your own: `text: COLUMN` of `read`",
            )  # fmt: skip
        found.text = next(iter(texts))
        found.other_texts = [key for key in texts if key != found.text and texts[key] * 2 > texts[found.text]]
        found.id = next((key for key in LIKELY_ID if key in found.columns and key != found.text), None)
    values = [row[found.text] for row in flat if isinstance(row.get(found.text), str)]
    found.rows, found.characters = len(values), sum(map(len, values))
    found.row_bytes = sum(len(json.dumps(row, default=str, ensure_ascii=False)) for row in rows)
    found.not_utf8 = sum("\ufffd" in value for value in values)
    line = " ".join(next((value for value in values if value.strip()), "").split())
    found.example = line if len(line) <= EXAMPLE else line[: EXAMPLE - 3] + "..."
    found.languages = _languages([value for value in values if value.strip()])


def _flat(row: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the fields of a row; a field in a field is called `doc.text`."""
    for key, value in row.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield above + key, value


def _texts(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> dict[str, int]:
    """Return column -> characters for the columns that hold prose: the likely names first, then the longest ones.

    Identifiers, addresses and dates are no prose: most of their values hold no space.
    """
    lengths: dict[str, int] = {}
    for column in columns:
        values = [value for row in rows if isinstance(value := row.get(column), str) and value.strip()]
        spaced = sum(any(letter.isspace() for letter in value.strip()) or not value.isascii() for value in values)
        if values and column not in LIKELY_ID and spaced * 2 > len(values):
            lengths[column] = sum(map(len, values))
    named = {name: number for number, name in enumerate(LIKELY_TEXT)}
    order = sorted(lengths, key=lambda column: (named.get(column.rpartition(".")[2], len(named)), -lengths[column]))
    return {column: lengths[column] for column in order}


def _languages(texts: Sequence[str]) -> dict[str, float]:
    """Return code -> share of the texts, the most frequent first; empty where the model is not installed."""
    from stages.quality.fasttext_models import bundled_language_model, load, predict

    try:
        model = load(bundled_language_model())
    except (MissingExtra, ImportError):
        return {}
    labels, shares = predict(model, [" ".join(text[:1000].split()) for text in texts], k=1)
    sure = Counter(label[0] for label, share in zip(labels, shares, strict=True) if label and share[0] >= SURE)
    return {code: round(count / len(texts), 3) for code, count in sure.most_common()}
