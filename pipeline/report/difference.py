"""Two texts word by word: what each has that the other has not, with long equal stretches left out.

The alignment is difflib's (Ratcliff and Obershelp), over words without their spacing. Both texts are cut before they
are compared, because its worst case is quadratic.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from pipeline.safe_text import ELLIPSIS, clipped, visible

WORD = re.compile(r"\S+\s*|\s+")
WORDS = 1200  # of each text that are compared
AROUND = 12  # equal words kept beside a difference
LETTERS = 1400  # shown of each text
LONGEST = 120  # letters of a word


@dataclass(frozen=True)
class TextSpan:
    """A stretch of one text; `skipped` says how many equal words are left out there."""

    kind: Literal["same", "changed", "skipped"]
    text: str


def compared(left: str, right: str) -> tuple[list[TextSpan], list[TextSpan], float]:
    """Spans of both texts, and the share of the compared words that are equal (0 to 1)."""
    words = [WORD.findall(text[: WORDS * 30])[:WORDS] for text in (left, right)]
    bare = [[word.strip() for word in side] for side in words]
    matcher = SequenceMatcher(None, *bare, autojunk=False)
    spans: tuple[list[TextSpan], list[TextSpan]] = ([], [])
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        for side, (start, stop) in enumerate(((i1, i2), (j1, j2))):
            run = words[side][start:stop]
            if tag != "equal":
                spans[side].extend([TextSpan("changed", _shown(run))] if run else [])
            else:
                spans[side].extend(_same(run, first=start == 0, last=stop == len(words[side])))
    cut = [len(text) > sum(map(len, side)) for text, side in zip((left, right), words, strict=True)]
    return _within(spans[0], cut[0]), _within(spans[1], cut[1]), matcher.ratio()


def _same(run: Sequence[str], first: bool, last: bool) -> list[TextSpan]:
    """An equal run: whole when short, else its words next to a difference."""
    head, tail = 0 if first else AROUND, 0 if last else AROUND
    if first and last:
        return [TextSpan("same", _shown(run))]
    skipped = len(run) - head - tail
    if skipped <= AROUND:
        return [TextSpan("same", _shown(run))]
    middle = TextSpan("skipped", f"{ELLIPSIS} {skipped:,} equal words {ELLIPSIS} ")
    parts = [TextSpan("same", _shown(run[:head])), middle, TextSpan("same", _shown(run[len(run) - tail :]))]
    return [part for part in parts if part.text]


def _shown(run: Sequence[str]) -> str:
    return "".join(word if len(word) <= LONGEST else clipped(word, LONGEST) + " " for word in run)


def _within(spans: Sequence[TextSpan], cut: bool) -> list[TextSpan]:
    """The spans up to the letters that are shown, ending in an ellipsis where the text goes on."""
    kept: list[TextSpan] = []
    left = LETTERS
    for span in spans:
        text = visible(span.text[:left])
        kept.append(TextSpan(span.kind, text))
        left -= len(span.text)
        if left <= 0:
            return [*kept, TextSpan("skipped", ELLIPSIS)]
    return [*kept, TextSpan("skipped", ELLIPSIS)] if cut else kept
