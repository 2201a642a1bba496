"""The rules of Gopher as DCLM's code counts them (Li et al. 2024, `baselines/mappers`), for verdicts equal to its own.

Where its code differs from the paper:

- Lines and paragraphs are compared without the white space around them, and blank ones are none. Every copy of one that
  stands twice counts, the first too, and shares are of the characters in them, not of the text.
- N-grams are of the words between the boundaries of Unicode (UAX 29) that begin with a letter or a digit; shares are of
  the characters in such words. A most frequent n-gram that occurs once counts for nothing.
- A page of one line, or of one paragraph, does not repeat itself; one of white space alone goes.
- The length of a page is that of its runs between ASCII white space that begin with a letter or a digit.
- `#` and ellipses are held against one limit together; `. . .` is an ellipsis too.
- A paragraph ends at an empty line, and a line of blanks is none.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from pipeline.contract import contiguous
from pipeline.errors import MissingExtra
from stages.clean.rules import REPEATED, TOP

if TYPE_CHECKING:
    import pyarrow as pa

STOP_WORDS = frozenset(("the", "be", "to", "of", "and", "that", "have", "with"))
BULLETS, ELLIPSES = ("●", "•", "*", "-"), ("...", ". . .", "\u2026")
RUN = re.compile("[^ \n\r\t\v\f\0]+")  # a word of fastText


def words(text: str) -> int:
    """Words of a text, punctuation left out, as its counters count them."""
    return sum(run[0].isalnum() for run in RUN.findall(text))


@cache
def _boundaries() -> Callable[[str], Any]:
    try:
        from uniseg.wordbreak import words as cut
    except ImportError as error:
        raise MissingExtra("words: dclm", str(error), "uniseg", "pip install 'siftloom[parity]'") from error
    return cut


def quality(text: pa.ChunkedArray | pa.Array, distinct: bool) -> dict[str, Any]:
    """The columns of `gopher_quality`; `distinct`: each stop word counts once."""
    import numpy as np
    import pyarrow as pa

    found = np.array([_quality(each, distinct) for each in contiguous(text).to_pylist()], float).reshape(-1, 7).T
    names = ("mean_word", "hashes", "bullet_lines", "ellipsis_lines", "alpha_words")
    return {
        "gopher_words": found[0].astype(np.int32),
        **{f"gopher_{name}": values.astype(np.float32) for name, values in zip(names, found[1:6], strict=True)},
        "gopher_ellipses": np.zeros(len(text), np.float32),  # among the hashes
        "gopher_stop_words": found[6].astype(np.int32),
        "gopher_skipped": pa.nulls(len(text), pa.string()),
    }


def _quality(text: str, distinct: bool) -> tuple[float, ...]:
    runs = text.split()
    many = max(len(runs), 1)
    lines = _pieces(text, "\n")
    stops = [word for run in runs if (word := run.lower()) in STOP_WORDS]
    return (
        words(text),
        sum(map(len, runs)) / many,
        sum(map(text.count, ("#", *ELLIPSES))) / many,
        sum(line.startswith(BULLETS) for line in lines) / max(len(lines), 1),
        sum(line.endswith(ELLIPSES) for line in lines) / max(len(lines), 1),
        sum(any(map(str.isalpha, run)) for run in runs) / many,
        len(set(stops) if distinct else stops),
    )


def repetition(text: pa.ChunkedArray | pa.Array) -> dict[str, Any]:
    """The columns of `gopher_repetition`."""
    import numpy as np

    names = ["gopher_dup_lines", "gopher_dup_line_chars", "gopher_dup_paragraphs", "gopher_dup_paragraph_chars"]
    names += [*(f"gopher_top_{n}gram" for n in TOP), *(f"gopher_dup_{n}grams" for n in REPEATED)]
    rows = [_repetition(each) for each in contiguous(text).to_pylist()]
    return dict(zip(names, np.array(rows, np.float32).reshape(-1, len(names)).T, strict=True))


def _repetition(text: str) -> list[float]:
    cut = [word for word in _boundaries()(text) if word[0].isalnum()]
    lengths = list(map(len, cut))
    shares = [share for end in ("\n", "\n\n") for share in _copies(_pieces(text, end))]
    return [*shares, *(_top(cut, n, sum(lengths)) for n in TOP), *(_repeated(cut, lengths, n) for n in REPEATED)]


def _pieces(text: str, end: str) -> list[str]:
    return [piece for part in text.split(end) if (piece := part.strip())]


def _copies(pieces: Sequence[str]) -> tuple[float, float]:
    """(share of the pieces that stand more than once, the same by characters)."""
    if len(pieces) < 2:
        return (0.0, 0.0) if pieces else (1.0, 1.0)
    counts = {piece: count for piece, count in Counter(pieces).items() if count > 1}
    chars = sum(len(piece) * count for piece, count in counts.items())
    return sum(counts.values()) / len(pieces), chars / sum(map(len, pieces))


def _top(cut: Sequence[str], n: int, whole: int) -> float:
    """Characters of the longest of the most frequent n-grams, as often as it occurs."""
    counts = Counter(zip(*(cut[i:] for i in range(n)), strict=False))
    most = max(counts.values(), default=0)
    if most < 2:
        return 0.0
    longest = max(sum(map(len, gram)) for gram, count in counts.items() if count == most)
    return min(1.0, longest * most / whole)  # one that overlaps itself may count above 1


def _repeated(cut: Sequence[str], lengths: Sequence[int], n: int) -> float:
    """Share of the characters in words of n-grams that occur more than once."""
    grams = list(zip(*(cut[i:] for i in range(n)), strict=False))
    counts = Counter(grams)
    inside = {at + i for at, gram in enumerate(grams) if counts[gram] > 1 for i in range(n)}
    return sum(lengths[at] for at in inside) / max(sum(lengths), 1)
