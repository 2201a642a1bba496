"""Pages as files: the text of a row is the page's HTML, for `extract` to take the main content from.

Beside the text, `keep` may name `charset`, the encoding that the page was in.
"""

from __future__ import annotations

from collections.abc import Iterator

from stages.documents import TEXT
from stages.read.charset import decode_page
from stages.read.encodings import DETECT
from stages.read.framing import cut
from stages.read.given import Given, Row
from stages.read.record_to_row import Reject


def rows(given: Given) -> Iterator[Row]:
    for number, data in cut(given.chunks(), "file"):
        if data is None:
            yield number, Reject("too_long")
            continue
        text, charset = decode_page(data, None if given.encoding == DETECT else given.encoding)
        yield number, {TEXT: text, "charset": charset}
