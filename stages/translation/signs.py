"""What is cheap to count of a translation: how much of it was copied, and how much of it says the same again."""

from __future__ import annotations

import re

WORD = re.compile(r"[^\W\d_]+")
WINDOW = 8  # characters


def copied(text: str, source: str) -> float:
    """The share of the words of a text that stand in its source too; runs of letters, in lower case."""
    words, there = WORD.findall(text.lower()), set(WORD.findall(source.lower()))
    return sum(word in there for word in words) / max(len(words), 1)


def repeated(text: str) -> float:
    """The share of the windows of eight characters that stood before in the text. It needs no words, which some scripts
    do not part.
    """
    windows = [text[start : start + WINDOW] for start in range(len(text) - WINDOW + 1)]
    return 1 - len(set(windows)) / len(windows) if windows else 0.0
