"""Terms in texts, all of them in one walk (Aho and Corasick 1975, by ahocorasick_rs) over the bytes of a batch.

A hit is a whole word or phrase: what stands before and behind it is no letter, mark or digit, or is of a script without
spaces. A term inside a longer hit ("net" in "neural net") is not counted beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.contract import Context, contiguous
from pipeline.errors import RecipeError
from stages.clean.url_lists import entries

if TYPE_CHECKING:
    import numpy as np


def terms_of(ctx: Context, place: str, given: Sequence[str], field: str, ignore_case: bool) -> list[str]:
    """The terms of a node, each once: `given`, then those of the files of a field. Raises RecipeError when blank."""
    found = [*given, *entries(ctx, field, ignore_case)]
    if not found or not all(term.strip() for term in found):
        raise RecipeError(place, "no term" if not found else "a blank term", "words and phrases")
    plain = (" ".join((term.lower() if ignore_case else term).split()) for term in found)
    return list(dict.fromkeys(plain))


@dataclass(frozen=True)
class Hits:
    """Hits of a batch: `document` and `term` of each, int64; `words` of each document, int64."""

    document: np.ndarray
    term: np.ndarray
    words: np.ndarray

    def counts(self) -> np.ndarray:
        """Hits of each document, int32."""
        import numpy as np

        return np.bincount(self.document, minlength=len(self.words)).astype(np.int32)

    def different(self) -> np.ndarray:
        """Different terms of each document, int32."""
        import numpy as np

        many = int(self.term.max(initial=0)) + 1
        pairs = np.unique(self.document * many + self.term)
        return np.bincount(pairs // many, minlength=len(self.words)).astype(np.int32)

    def shares(self) -> np.ndarray:
        """Hits per word, float32; of a document without words 0."""
        from stages.clean.cut import ratio

        return ratio(self.counts(), self.words)


class Finder:
    """The automaton, made once per worker."""

    def __init__(self, terms: Sequence[str], ignore_case: bool = True, whole_words: bool = True) -> None:
        import pyarrow as pa
        from ahocorasick_rs import BytesAhoCorasick

        self.ignore_case, self.whole_words = ignore_case, whole_words
        self.phrases = any(" " in term for term in terms)
        self.sigma = any(sign in term for term in terms for sign in "Σσς")
        wanted = self._lower(pa.array(terms, pa.string())).to_pylist() if ignore_case else terms
        self.machine = BytesAhoCorasick([term.encode() for term in wanted])

    def _lower(self, text: Any) -> Any:
        """Small letters of texts or terms; a sigma at the end of a word, which has a form of its own, as any other."""
        import pyarrow.compute as pc

        lower = pc.utf8_lower(text)
        return pc.replace_substring(lower, "ς", "σ") if self.sigma else lower

    def find(self, column: Any, max_chars: int | None = None) -> Hits:
        """The hits in the beginning of every text; a line's end in a phrase is a space."""
        import numpy as np
        import pyarrow.compute as pc

        from stages.clean.cut import cut, text_buffers

        text: Any = contiguous(column)
        if max_chars is not None:
            text = pc.utf8_slice_codeunits(text, 0, max_chars)
        words = cut(text, "whitespace", "auto").counts
        if self.ignore_case:
            text = self._lower(text)
        for end in ("\r\n", "\n") if self.phrases else ():
            text = pc.replace_substring(text, end, " ")
        data, offsets = text_buffers(text)
        found = self.machine.find_matches_as_indexes(data[: offsets[-1]].data, overlapping=True)
        hits = np.array(found, np.int64).reshape(-1, 3)
        document = np.searchsorted(offsets, hits[:, 1], side="right") - 1
        inside = (document >= 0) & (hits[:, 2] <= offsets[np.minimum(document + 1, len(offsets) - 1)])
        hits, document = hits[inside], document[inside]
        if self.whole_words:
            whole = _whole(data, offsets, document, hits[:, 1], hits[:, 2])
            hits, document = hits[whole], document[whole]
        order = np.lexsort((-hits[:, 2], hits[:, 1]))
        hits, document = hits[order], document[order]
        reached = np.concatenate([[-1], np.maximum.accumulate(hits[:, 2])[:-1]])[: len(hits)]
        longest = hits[:, 2] > reached
        return Hits(document[longest], hits[longest, 0], words)


def _whole(data: np.ndarray, offsets: np.ndarray, document: np.ndarray, start: np.ndarray, stop: np.ndarray) -> Any:
    """Which matches are no part of a longer word, bool."""
    first, last = offsets[document], offsets[document + 1]
    before = _joins(data, _back(data, start - 1), start, start > first)
    behind = _joins(data, _back(data, stop - 1), stop, stop < last)
    return ~(before | behind)


def _joins(data: np.ndarray, left: np.ndarray, right: np.ndarray, some: np.ndarray) -> np.ndarray:
    """Whether the characters on both sides of a place are of one word; only where there are `some`."""
    import numpy as np

    from stages.clean.characters import table
    from stages.loops import cuts

    joined = np.zeros(len(left), bool)
    at = np.flatnonzero(some)
    flags = [table()[0][_code_points(data, side[at])] for side in (left, right)]
    both = (flags[0] & flags[1] & cuts.WORD) != 0
    alone = ((flags[0] | flags[1]) & cuts.ALONE) != 0
    joined[at] = both & ~alone
    return joined


def _back(data: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The first byte of the character that a byte belongs to."""
    import numpy as np

    at = np.maximum(at, 0)
    for _ in range(3):
        at = np.where((at > 0) & ((data[at] & 0xC0) == 0x80), at - 1, at) if len(at) else at
    return at


def _code_points(data: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The characters that begin at some bytes of valid UTF-8."""
    import numpy as np

    b0, b1, b2, b3 = (data[np.minimum(at + i, len(data) - 1)].astype(np.int64) for i in range(4))
    two = (b0 & 0x1F) << 6 | b1 & 0x3F
    three = (b0 & 0xF) << 12 | (b1 & 0x3F) << 6 | b2 & 0x3F
    four = (b0 & 7) << 18 | (b1 & 0x3F) << 12 | (b2 & 0x3F) << 6 | b3 & 0x3F
    return np.select([b0 < 0x80, b0 < 0xE0, b0 < 0xF0], [b0, two, three], four)
