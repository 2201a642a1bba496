"""Texts without some of their lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stages.clean.cut import Cut

if TYPE_CHECKING:
    import pyarrow as pa


class Lines:
    """The n lines of a batch of D documents, of which rules take some; a line goes for the first rule that takes it.

    places  int64 [n]: where they stand in `cut.lines`
    owner   int64 [n]: the document of each, ascending
    facts   int32 [n, 9]: of `cut.line_facts`
    words   int64 [n]
    left    bool [n]: which ones no rule has taken so far
    gone    rule -> bool [n]: which ones it took
    """

    def __init__(self, cut: Cut, *, blank: bool) -> None:
        """`blank`: lines of white space are lines too."""
        self.places, self.owner, self.documents = cut.own_lines(), cut.line_owner(), len(cut)
        if not blank:
            filled = cut.filled[self.places]
            self.places, self.owner = self.places[filled], self.owner[filled]
        self.facts, self.words = cut.line_facts[self.places], cut.line_words()[self.places]
        self.left = np.ones(len(self.places), bool)
        self.gone: dict[str, np.ndarray] = {}

    def none(self) -> np.ndarray:
        """No line, bool [n]."""
        return np.zeros(len(self.places), bool)

    def take(self, rule: str, lines: np.ndarray) -> None:
        """Let those of some lines go that are left, for this rule."""
        self.gone[rule] = lines & self.left
        self.left &= ~lines

    def count(self, lines: np.ndarray) -> np.ndarray:
        """How many of some lines each document has, int32 [D]."""
        return np.bincount(self.owner, lines, self.documents).astype(np.int32)


def lines_of(cut: Cut, places: np.ndarray, whole: bool) -> pa.Array:
    """Lines as strings, `whole` or without the white space around them; `places` of `cut.lines`."""
    import pyarrow as pa

    from stages.loops.gather import gather

    start, stop = (cut.lines[places, i] for i in ((0, 1) if whole else (2, 3)))
    offsets = np.zeros(len(places) + 1, np.int64)
    np.cumsum(stop - start, out=offsets[1:])
    data = np.empty(int(offsets[-1]), np.uint8)
    gather(cut.data, start, stop, offsets, data)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.LargeStringArray.from_buffers(len(places), buffers[1], buffers[2])


def joined(lines: pa.Array, owner: np.ndarray, documents: int) -> pa.Array:
    """The lines of each document with newlines between them; `owner`: the document of each line, ascending."""
    import pyarrow as pa
    import pyarrow.compute as pc

    offsets = np.searchsorted(owner, np.arange(documents + 1))
    lists = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), lines.cast(pa.large_string()))
    return pc.binary_join(lists, pa.scalar("\n", pa.large_string())).cast(pa.string())
