"""JSON: an object a line, or a file that is one array of objects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.errors import SourceDamaged, SourceError
from stages.read.framing import cut
from stages.read.given import Given, Row
from stages.read.record_to_row import DEEPEST, LONGEST, Reject, decode

ESCAPED, OTHER_HALVES = re.compile("[\udc80-\udcff]"), re.compile("[\ud800-\udc7f\udd00-\udfff]")
STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')


def lines(given: Given) -> Iterator[Row]:
    """An object a line; the number of a row is that of its line, from 0."""
    first = given.piece.line if given.piece is not None else 0
    for number, data in cut(given.text(), "line", first):
        yield number, Reject("too_long") if data is None else record_of(data)


def file(given: Given) -> Iterator[Row]:
    """`.json` is used for both: an array of objects (its rows are counted from 0), one object over many lines, or an
    object a line. Raises `SourceDamaged` for an array that is cut off, `SourceError` for a larger one than a
    document may be."""
    chunks = given.text()
    head, line = _first_line(chunks)
    if not line.startswith(b"[") and _is_whole(line):
        for number, data in cut(_chain(head, chunks), "line"):
            yield number, Reject("too_long") if data is None else record_of(data)
        return
    whole = bytearray(head)
    for chunk in chunks:
        whole += chunk
        if len(whole) > LONGEST:
            raise SourceError(
                given.source.name, f"one JSON value of more than {LONGEST / 1e6:.0f} MB", "a smaller one or JSON lines",
                "jq -c '.[]' FILE > FILE.jsonl",
            )  # fmt: skip
    if not whole.strip():
        return
    if _depth(bytes(whole)) > DEEPEST:
        raise SourceError(given.source.name, f"JSON nested more than {DEEPEST} deep", "documents in an array")
    try:
        value = json.loads(whole.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise SourceDamaged(given.source.name, f"JSON that cannot be parsed ({error})", "a whole JSON array") from error
    for number, record in enumerate(value if isinstance(value, list) else [value]):
        plain = isinstance(record, dict)
        yield number, _undamaged(record) if plain else Reject("bad_json", repr(record)[:1000].encode())


def _chain(head: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from chunks


def _first_line(chunks: Iterator[bytes]) -> tuple[bytes, bytes]:
    """(what had to be read for it, the first line that has anything on it); of an array no more than its beginning."""
    parts, size, begun = [], 0, b""
    for chunk in chunks:
        parts.append(chunk)
        size += len(chunk)
        inner = chunk if begun else chunk.lstrip()
        begun = begun or inner[:1]
        if begun == b"[" or b"\n" in inner or size > LONGEST:
            break
    head = b"".join(parts)
    return head, head.lstrip().partition(b"\n")[0]


def _undamaged(record: dict[str, Any]) -> Mapping[str, Any] | Reject:
    """The record, or why it is none: bytes that are no UTF-8 in one of its strings."""
    text = json.dumps(record, ensure_ascii=False)
    if text.isascii() or not ESCAPED.search(text):
        return record
    return Reject("invalid_utf8", OTHER_HALVES.sub("", text).encode("utf-8", "surrogateescape")[:1000])


def _is_whole(line: bytes) -> bool:
    """Whether a line is a JSON value, damaged or not."""
    try:
        json.loads(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return False
    return True


def record_of(data: bytes) -> Mapping[str, Any] | Reject:
    """The object that some bytes are, or why they are none."""
    if data.count(b"[") + data.count(b"{") > DEEPEST and _depth(data) > DEEPEST:
        return Reject("too_deep", data)
    try:
        value = json.loads(decode(data))
    except Reject as reject:
        return reject
    except (ValueError, RecursionError):  # of a number of more digits than Python turns into one, too
        return Reject("bad_json", data)
    return value if isinstance(value, dict) else Reject("bad_json", data)


def _depth(data: bytes) -> int:
    """How many brackets stand around a value at most, those in strings apart."""
    import numpy as np

    signs = np.frombuffer(STRING.sub(b"", data), np.uint8)
    steps = np.isin(signs, np.frombuffer(b"[{", np.uint8)).astype(np.int64)
    steps -= np.isin(signs, np.frombuffer(b"]}", np.uint8))
    return int(np.cumsum(steps).max(initial=0))
