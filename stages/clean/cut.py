"""The text of a batch cut into words and lines, once for all rules of a pass.

A pass hands a batch from rule set to rule set, and each one hands on the rows that it kept. So the last cut is kept in
the process, and a batch whose texts are, byte for byte, some of the last batch's in their order takes its part of that
cut. The bytes decide: what a rule sees is the same whether the cut was made for it or for the rule before.

Words are the runs between white space (`whitespace`, the choice of DCLM: thresholds made for it hold), or `unicode`:
runs of letters, marks, digits and inner apostrophes, without the punctuation, and single characters in the scripts that
put no spaces between words. With `unit: auto` a document with over a quarter of its letters in such a script is cut
into runs and single characters anyway, and two characters make a word.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Literal

from pipeline.contract import contiguous

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

Words = Literal["whitespace", "unicode", "datatrove"]
Unit = Literal["auto", "word", "char"]
PARITY = ("datatrove", "spacy")  # distributions whose versions decide what `words: datatrove` counts
GopherWords = Literal["whitespace", "unicode", "datatrove", "dclm"]
COUNTED_BY = {"datatrove": PARITY, "dclm": ("uniseg",)}  # `words` -> distributions that decide what is counted
CHARS_PER_WORD = 2  # Chinese and Japanese words have about two characters
MOSTLY = 0.25  # of the letters: a character of those scripts says as much as three letters
ABBREVIATIONS = (
    "mr. mrs. ms. dr. st. prof. rev. gen. col. capt. lt. sgt. mt. no. vol. vs. e.g. i.e. cf. inc. ltd. jr. sr."
)

# columns of `Cut.facts` and `Cut.line_facts`
CHARS, HASHES, ELLIPSES, LETTERS, DIGITS = range(5)
LINE_CHARS, INNER_CHARS, UPPER, LINE_DIGITS, FIRST, LAST, DOTS, LONGEST, SENTENCES = range(9)


@dataclass(frozen=True)
class Cut:
    """D documents; their words and lines stand in arrays that other documents may share.

    data              the UTF-8 of a batch, uint8
    exact, folded     uint64 [W], a word as it is written, and in lower case; equal for equal words
    lengths, kinds    int32 [W] its characters; uint8 [W], bits of `stages.loops.cuts`
    lines, line_facts int64 [L, 5]: bytes of a line (start, stop), without the white space around it (start, stop), its
                      first word; int32 [L, 9]: characters, without the white space around it, upper-case letters,
                      digits, first and last character that is no white space (-1: a blank line), dots at its end,
                      characters of its longest word, sentences
    facts             int64 [D, 5]: characters, `#`, ellipses, letters, digits
    chars_unit        bool [D]: two characters make a word
    bytes_span        int64 [2, D]: where a document begins and ends in `data`
    words, line_span  int64 [2, D]: its first word (line), and the one behind the last
    """

    data: np.ndarray
    exact: np.ndarray
    folded: np.ndarray
    lengths: np.ndarray
    kinds: np.ndarray
    lines: np.ndarray
    line_facts: np.ndarray
    facts: np.ndarray
    chars_unit: np.ndarray
    bytes_span: np.ndarray
    words: np.ndarray
    line_span: np.ndarray

    def __len__(self) -> int:
        return self.words.shape[1]

    @cached_property
    def pieces(self) -> np.ndarray:
        """Words and single characters per document, int64 [D]."""
        return self.words[1] - self.words[0]

    @cached_property
    def counts(self) -> np.ndarray:
        """Words per document, int64 [D]; where two characters make a word, half of the single characters."""
        import numpy as np

        if not self.chars_unit.any():
            return self.pieces
        from stages.loops.cuts import IS_ALONE

        alone = self.per_word((self.kinds & IS_ALONE) != 0)
        return np.where(self.chars_unit, self.pieces - alone + -(-alone // CHARS_PER_WORD), self.pieces)

    @property
    def steps(self) -> np.ndarray:
        """Pieces that make one word, int64 [D]."""
        import numpy as np

        return np.where(self.chars_unit, CHARS_PER_WORD, 1)

    @cached_property
    def filled(self) -> np.ndarray:
        """Which lines are not blank, bool [L]."""
        return self.line_facts[:, LAST] >= 0

    def per_word(self, numbers: np.ndarray) -> np.ndarray:
        """Per document, the sum of a number for each word [W]; int64 [D]."""
        return _sums(numbers, self.words)

    def per_line(self, numbers: np.ndarray) -> np.ndarray:
        """Per document, the sum of a number for each line [L]; int64 [D]."""
        return _sums(numbers, self.line_span)

    def line_words(self) -> np.ndarray:
        """Words of every line, int64 [L]. Lines of documents that are not of this batch have any number."""
        import numpy as np

        first = self.lines[:, 4]
        return np.append(first[1:], len(self.exact)) - first

    def line_owner(self) -> np.ndarray:
        """The document of each of this batch's lines in order, int64."""
        import numpy as np

        return np.repeat(np.arange(len(self)), self.line_span[1] - self.line_span[0])

    def own_lines(self) -> np.ndarray:
        """The places of this batch's lines in the arrays, int64."""
        import numpy as np

        many = self.line_span[1] - self.line_span[0]
        ends = np.cumsum(many)
        return np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(self.line_span[0] - (ends - many), many)


def _sums(numbers: np.ndarray, span: np.ndarray) -> np.ndarray:
    import numpy as np

    total = np.zeros(len(numbers) + 1, np.int64)
    np.cumsum(numbers, out=total[1:])
    return total[span[1]] - total[span[0]]


def ratio(numbers: Any, of: Any) -> np.ndarray:
    """Numbers divided by others, 0 where there is nothing to divide by; float32."""
    import numpy as np

    return (numbers / np.maximum(of, 1)).astype(np.float32)


_last: list[tuple[tuple[str, str], Cut]] = []


def cut(text: pa.ChunkedArray | pa.Array, words: str = "whitespace", unit: Unit = "auto") -> Cut:
    """The words and lines of a batch, from the last cut where that has them."""
    import numpy as np

    from stages.loops.cuts import part_of

    data, offsets = text_buffers(text)
    known = next((made for mode, made in _last if mode == (words, unit)), None)
    if known is not None and len(known) >= len(offsets) - 1:
        places = np.empty(len(offsets) - 1, np.int64)
        if part_of(data, offsets[:-1], offsets[1:], known.data, *known.bytes_span, places):
            return replace(
                known, facts=known.facts[places], chars_unit=known.chars_unit[places],
                bytes_span=known.bytes_span.take(places, axis=1), words=known.words.take(places, axis=1),
                line_span=known.line_span.take(places, axis=1),
            )  # fmt: skip
    made = _cut(data, offsets, words, unit)
    _last[:] = [((words, unit), made)]
    return made


def cut_fresh(text: pa.ChunkedArray | pa.Array, words: str, unit: Unit) -> Cut:
    """The words and lines of texts that are no batch of a pass."""
    return _cut(*text_buffers(text), words, unit)


def text_buffers(text: pa.ChunkedArray | pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The bytes of a column of text, uint8, and its offsets into them, int64 [D + 1]."""
    import numpy as np
    import pyarrow as pa

    flat: Any = contiguous(text).cast(pa.large_string())
    _, offsets, data = flat.buffers()
    place = np.frombuffer(offsets, np.int64, len(flat) + 1, 8 * flat.offset) if len(flat) else np.zeros(1, np.int64)
    return np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(0, np.uint8), place


def _cut(data: np.ndarray, offsets: np.ndarray, words: str, unit: Unit) -> Cut:
    import numpy as np

    from stages.clean.characters import table
    from stages.loops import cuts

    flags, lower = table()
    documents, size = len(offsets) - 1, int(offsets[-1] - offsets[0])
    chars_unit = np.full(documents, unit == "char")
    if unit == "auto":
        cuts.unspaced(data, offsets, flags, MOSTLY, chars_unit)
    modes = np.where(chars_unit | (words == "unicode"), cuts.RUNS, cuts.AT_SPACE)
    most, newlines = size // 2 + documents + 1, int(np.count_nonzero(data[offsets[0] : offsets[-1]] == 10))
    # What is never touched of these takes no memory.
    exact, folded, lengths = np.empty(most, np.uint64), np.empty(most, np.uint64), np.empty(most, np.int32)
    kinds = np.empty(most, np.uint8)
    lines, line_facts = np.empty((newlines + documents, 5), np.int64), np.empty((newlines + documents, 9), np.int32)
    facts = np.empty((documents, 5), np.int64)
    word_starts, line_starts = np.empty(documents + 1, np.int64), np.empty(documents + 1, np.int64)
    w, n = cuts.cut(
        data, offsets, flags, lower, _abbreviations(), modes, exact, folded, lengths, kinds, word_starts, lines,
        line_facts, line_starts, facts,
    )  # fmt: skip
    return Cut(
        data, exact[:w], folded[:w], lengths[:w], kinds[:w], lines[:n], line_facts[:n], facts, chars_unit,
        np.stack([offsets[:-1], offsets[1:]]), np.stack([word_starts[:-1], word_starts[1:]]),
        np.stack([line_starts[:-1], line_starts[1:]]),
    )  # fmt: skip


@cache
def _abbreviations() -> np.ndarray:
    import numpy as np

    from stages.clean.characters import table
    from stages.loops.cuts import hash_of

    _, lower = table()
    return np.array(
        [hash_of(np.frombuffer(word.encode(), np.uint8), lower) for word in ABBREVIATIONS.split()], np.uint64
    )
