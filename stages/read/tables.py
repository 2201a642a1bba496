"""CSV and TSV with a header: a record a line, or more lines where a quoted field holds line feeds.

A row's number is that of its record, the header not counted. A record of more or fewer fields than the header has is
put aside, and so is one that is larger than a document may be.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterable, Iterator

from pipeline.errors import DataError
from stages.read.given import Given, Row
from stages.read.record_to_row import LONGEST, Reject


def commas(given: Given) -> Iterator[Row]:
    yield from _rows(given, "excel")


def tabs(given: Given) -> Iterator[Row]:
    yield from _rows(given, "excel-tab")


def _rows(given: Given, dialect: str) -> Iterator[Row]:
    csv.field_size_limit(LONGEST)
    found = csv.reader(_lines(given.text()), dialect, strict=True)
    header = _header(found, given.source.name)
    if header is None:
        return
    number = (given.piece.line if given.piece is not None else 0) - 1
    while True:
        number += 1
        try:
            fields = next(found)
        except StopIteration:
            return
        except csv.Error as error:
            yield number, Reject("bad_record", str(error).encode())
            continue
        if not fields:
            number -= 1  # a blank line is no record
        elif len(fields) != len(header):
            yield number, Reject("bad_record", f"{len(fields)} fields, {len(header)} in the header".encode())
        elif any("\udc80" <= sign <= "\udcff" for field in fields if not field.isascii() for sign in field):
            yield number, Reject("invalid_utf8", "\t".join(fields).encode("utf-8", "surrogateescape"))
        else:
            yield number, dict(zip(header, fields, strict=True))


def _header(found: Iterator[list[str]], place: str) -> list[str] | None:
    try:
        header = next((row for row in found if row), None)
    except csv.Error as error:
        raise DataError(place, f"a header that is no record ({error})", "names, and a separator between them") from None
    if header is not None and len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise DataError(place, f"two columns named {twice!r}", "a header of different names")
    return header


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Lines with their ends, as the csv module wants them; bytes that are no UTF-8 as surrogates."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    parts: list[str] = []
    for chunk in chunks:
        *whole, last = decoder.decode(chunk).split("\n")
        for line in whole:
            yield "".join([*parts, line, "\n"])
            parts = []
        parts.append(last)
    if tail := "".join([*parts, decoder.decode(b"", True)]):
        yield tail
