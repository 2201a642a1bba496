"""Best-fit packing of documents into rows of a fixed capacity.

Documents longer than a row are cut into row-long pieces first; what is left of them, and every document
that fits, is one piece that is never cut. Pieces are placed longest first, each into the fullest row that
still has room (best-fit decreasing; Ding et al. 2024, arXiv 2404.10830, for its use on training data).
Lossless: every token stands in one row once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Piece(NamedTuple):
    """Tokens [offset, offset + length) of the document numbered `document`."""

    document: int
    offset: int
    length: int


def cut(lengths: Sequence[int], capacity: int) -> list[Piece]:
    """Pieces of at most `capacity` tokens; only documents that do not fit are cut."""
    return [
        Piece(document, offset, min(capacity, length - offset))
        for document, length in enumerate(lengths)
        for offset in range(0, length, capacity)
    ]


def best_fit(pieces: Sequence[Piece], capacity: int) -> list[list[Piece]]:
    """Rows of pieces; a function of the pieces' order and lengths alone."""
    rows: list[list[Piece]] = []
    with_room: list[list[int]] = [[] for _ in range(capacity + 1)]  # free tokens -> the rows that have them free
    rooms = 0  # bit s is set while some row has s tokens free, so the tightest fit is the lowest set bit
    for piece in sorted(pieces, key=lambda piece: (-piece.length, piece.document, piece.offset)):
        fitting = rooms >> piece.length << piece.length
        if fitting:
            room = (fitting & -fitting).bit_length() - 1
            row = with_room[room].pop()
            if not with_room[room]:
                rooms &= ~(1 << room)
        else:
            room, row = capacity, len(rows)
            rows.append([])
        rows[row].append(piece)
        left = room - piece.length
        if left:
            with_room[left].append(row)
            rooms |= 1 << left
    return rows
