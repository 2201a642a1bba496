"""The documents of a stream of bytes: a line, a paragraph, or the whole file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from stages.read.record_to_row import LONGEST
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
    block: list[bytes] = []
    size = -1  # of the block with its line feeds; above LONGEST nothing is held any more
    for line in found:
        if line is not None and not line.strip():
            if size >= 0:
                yield None if size > LONGEST else b"\n".join(block)
            block, size = [], -1
            continue
        size += 1 + (LONGEST if line is None else len(line))
        if line is None or size > LONGEST:
            block, size = [], LONGEST + 1
        else:
            block.append(line.removesuffix(b"\r"))
    if size >= 0:
        yield None if size > LONGEST else b"\n".join(block)
