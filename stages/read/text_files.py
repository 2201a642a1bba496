"""Plain text: a document a file, a line, or a paragraph."""

from __future__ import annotations

from collections.abc import Iterator

from stages.documents import TEXT
from stages.read.framing import cut
from stages.read.given import Given, Row
from stages.read.record_to_row import Reject, decode


def rows(given: Given) -> Iterator[Row]:
    first = given.piece.line if given.piece is not None else 0
    for number, data in cut(given.text(), given.frame, first):
        if data is None:
            yield number, Reject("too_long")
            continue
        try:
            yield number, {TEXT: decode(data)}
        except Reject as reject:
            yield number, reject
