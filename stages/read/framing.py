"""The documents of a stream of bytes: a line, a paragraph, or the whole file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from stages.read.records import LONGEST
from stages.read.streams import lines

Frame = Literal["file", "line", "paragraph"]


def cut(chunks: Iterable[bytes], frame: Frame, first: int = 0) -> Iterator[tuple[int, bytes | None]]:
    """(row number, bytes) of every document, None for one of more than `LONGEST` bytes.

    Lines are numbered from `first`, blank ones too, though they are no documents. Paragraphs lie between blank lines.
    """
    if frame == "file":
        yield 0, _whole(chunks)
    elif frame == "paragraph":
        yield from enumerate(_paragraphs(lines(chunks, LONGEST)))
    else:
        for number, line in enumerate(lines(chunks, LONGEST), first):
            if line is None or line.strip():
                yield number, line if line is None else line.removesuffix(b"\r")


def _whole(chunks: Iterable[bytes]) -> bytes | None:
    """All bytes; the stream is read to its end even when they are too many, since its digest is checked there."""
    parts: list[bytes] = []
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size <= LONGEST:
            parts.append(chunk)
    return b"".join(parts) if size <= LONGEST else None


def _paragraphs(found: Iterable[bytes | None]) -> Iterator[bytes | None]:
    block: list[bytes | None] = []
    for line in found:
        if line is None or line.strip():
            block.append(line if line is None else line.removesuffix(b"\r"))
        elif block:
            yield _joined(block)
            block = []
    if block:
        yield _joined(block)


def _joined(block: list[bytes | None]) -> bytes | None:
    whole = [line for line in block if line is not None]
    return b"\n".join(whole) if len(whole) == len(block) and sum(map(len, whole)) <= LONGEST else None
