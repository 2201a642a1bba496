"""Bytes of a text file to UTF-8: by a byte order mark, by the codec that the user names, or by detection.

What a codec cannot decode goes on as bytes that are no UTF-8 either, so that the row which holds them is put aside
and no other.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from typing import BinaryIO

SAMPLE = 1 << 18  # bytes that detection looks at
MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
DETECT = "detect"


def known(name: str) -> bool:
    """Whether Python has a codec of this name that turns bytes into text."""
    try:
        return codecs.lookup(name)._is_text_encoding
    except LookupError:
        return False


def marked(stream: BinaryIO) -> bool:
    """Whether a file begins with the mark of an encoding whose line feeds are not single bytes."""
    head = stream.read(2)
    stream.seek(0)
    return head in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def settle(chunks: Iterable[bytes], encoding: str | None) -> tuple[str, Iterator[bytes]]:
    """(name of the encoding, the bytes in UTF-8). A byte order mark wins over a name."""
    source = iter(chunks)
    head = b""
    wanted = SAMPLE if encoding == DETECT else 3
    for chunk in source:
        head += chunk
        if len(head) >= wanted:
            break
    mark = next((mark for mark in MARKS if head.startswith(mark)), b"")
    name = MARKS[mark] if mark else guess(head) if encoding == DETECT else encoding or "utf-8"
    name = codecs.lookup(name).name
    whole = _chain(head.removeprefix(mark) if name == "utf-8" else head, source)
    return name, whole if name in ("utf-8", "ascii") else _transcode(whole, name)


def guess(data: bytes) -> str:
    """The likeliest encoding of a piece of text: UTF-8 wherever it can be, else what charset-normalizer says."""
    data = data[:SAMPLE]  # more may be at hand, as the pieces of a file happen to come
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data)
        return "utf-8"
    except UnicodeDecodeError:
        pass
    from charset_normalizer import from_bytes

    best = from_bytes(data).best()
    return codecs.lookup(best.encoding if best is not None else "cp1252").name


def _chain(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if head:
        yield head
    yield from rest


def _transcode(chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(name)("surrogateescape")
    for chunk in chunks:
        yield decoder.decode(chunk).encode("utf-8", "surrogatepass")
    yield decoder.decode(b"", True).encode("utf-8", "surrogatepass")
