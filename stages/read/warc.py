"""Web archives (WARC, and the WET files of Common Crawl) through fastwarc.

A document is a `response`, `resource` or `conversion` record; its row number is its place among all records of the
file. Its text is the page's HTML for `extract`, or the plain text of a WET record. Fields for `id` and `keep`: `id`
(the record's), `url`, `date`, `charset`, `content_type`. A record that ends before its length says is put aside, and so
is an answer other than 200 or of another type than HTML and text (style sheets, scripts and names of hosts are none).
A packed file that is cut off is a `SourceDamaged`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.errors import SourceDamaged
from stages.documents import TEXT
from stages.read.charset import decode_page
from stages.read.given import Given, Row
from stages.read.record_to_row import Reject

LONGEST_PAGE = 64 * 1024**2  # bytes of one page, unpacked
HTML = ("text/html", "application/xhtml+xml")
NO_PROSE = ("text/dns", "text/css", "text/javascript", "text/ecmascript")


def rows(given: Given) -> Iterator[Row]:
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    wanted = (WarcRecordType.response, WarcRecordType.resource, WarcRecordType.conversion)
    number, records = -1, None
    while True:
        number += 1
        try:
            if records is None:
                pipe: Any = _Steady(given.pipe())
                records = iter(ArchiveIterator(pipe, parse_http=False, stream_detect=False))
            record = next(records, None)
            if record is None:
                return
            found = _page(record) if record.record_type in wanted else None
        except OSError as error:  # not of our own pipe, which raises a SourceDamaged
            raise SourceDamaged(
                given.source.name, f"record {number} cannot be parsed ({error})", "a whole WARC file", byte=given.byte
            ) from error
        if found is not None:
            yield number, found


def _page(record: Any) -> Mapping[str, Any] | Reject:
    declared = record.headers.get("Content-Length") or ""
    if not declared.isdecimal():
        return Reject("bad_record", b"no Content-Length")
    if int(declared) > LONGEST_PAGE:
        return Reject("too_long")
    body = record.reader.read()
    if len(body) != int(declared):
        return Reject("cut_off", f"{len(body)} of {declared} bytes".encode())
    kind = (record.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
    charset = None
    if record.is_http:
        try:
            answer = _answer(body)
            if answer.http_headers is None:
                return Reject("bad_record", b"no HTTP headers")
            if answer.http_headers.status_code != 200:
                return Reject("http_status", str(answer.http_headers.status_code).encode())
            kind, charset = (answer.http_content_type or "").lower(), answer.http_charset
            if _is_page(kind):
                body = answer.reader.read(LONGEST_PAGE + 1)
        except OSError as error:  # headers that are none, or a body that is not packed as they say
            return Reject("bad_record", str(error).encode())
    if not _is_page(kind):
        return Reject("not_text", kind.encode())
    if len(body) > LONGEST_PAGE:
        return Reject("too_long")
    text, charset = decode_page(body, charset)
    return {
        TEXT: text,
        "id": record.record_id,
        "url": record.headers.get("WARC-Target-URI"),
        "date": record.headers.get("WARC-Date"),
        "charset": charset,
        "content_type": kind or None,
    }


def _answer(block: bytes) -> Any:
    """The HTTP answer in a record, as a record of its own: an iterator does not go on after a body that cannot be
    unpacked."""
    from fastwarc.warc import WarcRecord

    head = f"WARC/1.0\r\nWARC-Type: response\r\nContent-Type: application/http\r\nContent-Length: {len(block)}\r\n\r\n"
    found = WarcRecord.from_bytes(head.encode() + block + b"\r\n\r\n")
    found.parse_http(auto_decode="all")
    return found


def _is_page(kind: str) -> bool:
    return not kind or kind in HTML or (kind.startswith("text/") and kind not in NO_PROSE)


class _Steady(io.RawIOBase):
    """A pipe that knows where it stands: fastwarc asks, and seeks to that same place."""

    def __init__(self, pipe: io.RawIOBase) -> None:
        self._pipe, self._at = pipe, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        count = self._pipe.readinto(buffer)
        self._at += count
        return count

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        if (whence, offset) not in ((0, self._at), (1, 0)):
            raise io.UnsupportedOperation("seek")
        return self._at
