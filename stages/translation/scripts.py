"""The script that most letters of a text are written in, by the names that Unicode gives them."""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import cache


@cache
def script_of(character: str) -> str | None:
    """`LATIN`, `CYRILLIC`, `CJK` and the like, the first word of a letter's name; None for what is no letter. The two
    kinds of kana are one script.
    """
    if not unicodedata.category(character).startswith("L"):
        return None
    name = unicodedata.name(character, "").partition(" ")[0].partition("-")[0]
    return "KANA" if name in ("HIRAGANA", "KATAKANA") else name or None


def letters(text: str) -> Counter[str]:
    """How many letters of each script a text has."""
    return Counter(script for script in map(script_of, text) if script is not None)


def most(counts: Counter[str]) -> str | None:
    """The script of most letters; of equally many the first by name."""
    return min(counts, key=lambda script: (-counts[script], script), default=None)
