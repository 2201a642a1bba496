"""ROUGE-L (Lin 2004): how much of two texts is one sequence of words, which may have gaps."""

from __future__ import annotations

import re

WORD = re.compile(r"[^\W_]+")


def words(text: str) -> list[str]:
    """Words in lower case; of ASCII text those of the library `rouge-score`, which knows no other letters."""
    return WORD.findall(text.lower())


def longest_common(one: list[str], other: list[str]) -> int:
    """Length of the longest common subsequence; by the bits of a number (Hyyrö 2004), a row of the table at once."""
    places: dict[str, int] = {}
    for at, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << at
    full = (1 << len(one)) - 1
    row = full  # a bit is 0 where the length grows
    for word in other:
        found = row & places.get(word, 0)
        row = ((row + found) | (row - found)) & full
    return len(one) - row.bit_count()


def rouge_l(one: list[str], other: list[str]) -> float:
    """The F1 of ROUGE-L, from 0 to 1."""
    common = longest_common(one, other)
    return 2 * common / (len(one) + len(other)) if common else 0.0
