"""Where a large file of lines or of CSV records may be cut: byte ranges that end at a line feed, with the number of
their first row.

A row's id is its number in the file, which a reader of a range cannot know, nor whether a line feed stands inside
quotes; so a file that is read in several ranges is gone through once before. That pass also hashes each range, since
the digest of the whole cannot be checked on a part.
"""

from __future__ import annotations

import codecs
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from stages.read.record_to_row import LONGEST
from stages.read.streams import Watched


@dataclass(frozen=True)
class Range:
    """Bytes [start, stop) of a file; `line` is the number of the first row, from 0; `digest` the range's SHA-256.

    head  bytes that a reader must see before them, as Latin-1: the header of a CSV file, behind its first range
    """

    start: int
    stop: int
    line: int
    digest: str
    head: str = ""


def cut(raw: Watched, size: int, separator: str | None = None) -> list[Range]:
    """Where a file is cut. `separator`: of the fields of its records, None = each line is a row."""
    return _lines(raw, size) if separator is None else _records(raw, size, separator)


def _lines(raw: Watched, size: int) -> list[Range]:
    """Ranges of at least `size` bytes (the last one apart), each up to the first line feed after it has
    them."""
    ranges: list[Range] = []
    start = line = newlines = 0
    state = hashlib.sha256()
    for chunk in raw:
        offset = raw.position - len(chunk)
        while chunk:
            wanted = max(0, start + size - 1 - offset)
            end = chunk.find(b"\n", wanted) + 1 if wanted < len(chunk) else 0
            piece = chunk[:end] if end else chunk
            state.update(piece)
            newlines += piece.count(b"\n")
            offset += len(piece)
            chunk = chunk[len(piece) :]
            if end:
                ranges.append(Range(start, offset, line, state.hexdigest()))
                start, line, state = offset, newlines, hashlib.sha256()
    if start < raw.position:
        ranges.append(Range(start, raw.position, line, state.hexdigest()))
    return ranges


def _records(raw: Watched, size: int, separator: str) -> list[Range]:
    """Ranges of CSV records, as `_lines` makes them of lines; from a field on that is larger than a document may be,
    the rest of the file is one."""
    import numpy as np

    from stages.loops.csv_records import NOT_HERE, RECORDS, TOO_LONG, record_end

    ranges: list[Range] = []
    at, head, longest = np.zeros(3, np.int64), b"", LONGEST
    start = line = 0
    state, endless = hashlib.sha256(), False
    for chunk in raw:
        offset, data, place = raw.position - len(chunk), np.frombuffer(chunk, np.uint8), 0
        while place < len(chunk):
            headed = bool(at[RECORDS])
            wanted = max(0, start + size - 1 - offset) if headed else 0
            end = NOT_HERE if endless else record_end(data, place, wanted, ord(separator), longest, at)
            endless |= end == TOO_LONG
            piece = chunk[place:end] if end > 0 else chunk[place:]
            state.update(piece)
            place += len(piece)
            head += b"" if headed or endless else piece
            if end > 0 and headed:
                ranges.append(Range(start, offset + place, line, state.hexdigest(), _shown(head) if ranges else ""))
                start, line, state = offset + place, int(at[RECORDS]) - 1, hashlib.sha256()
    if start < raw.position:
        ranges.append(Range(start, raw.position, line, state.hexdigest(), _shown(head) if ranges else ""))
    return ranges


def _shown(head: bytes) -> str:
    return head.removeprefix(codecs.BOM_UTF8).decode("latin-1")


def save(ranges: list[Range], path: Path) -> None:
    path.write_text(json.dumps([asdict(r) for r in ranges], sort_keys=True), encoding="utf-8")


def load(path: Path) -> list[Range]:
    return [Range(**fields) for fields in json.loads(path.read_text(encoding="utf-8"))]
