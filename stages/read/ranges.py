"""Where a large file of lines may be cut: byte ranges that end at a line feed, with the number of their first
line.

A row's id is its line number in the file, which a reader of a range cannot know; so a file that is read in
several ranges is gone through once before. That pass also hashes each range, since the digest of the whole
cannot be checked on a part.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from stages.read.streams import Watched


@dataclass(frozen=True)
class Range:
    """Bytes [start, stop) of a file; `line` is the number of the first line, from 0; `digest` the range's
    SHA-256."""

    start: int
    stop: int
    line: int
    digest: str


def cut(raw: Watched, size: int) -> list[Range]:
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


def save(ranges: list[Range], path: Path) -> None:
    path.write_text(json.dumps([asdict(r) for r in ranges], sort_keys=True), encoding="utf-8")


def load(path: Path) -> list[Range]:
    return [Range(**fields) for fields in json.loads(path.read_text(encoding="utf-8"))]
