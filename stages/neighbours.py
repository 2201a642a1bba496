"""Groups of rows that stand behind one another: the answers to one prompt, the pairs of one context."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any


def groups(names: Sequence[Any]) -> Iterator[tuple[int, int]]:
    """(start, end) of rows of one name that stand behind one another."""
    start = 0
    for end in range(1, len(names) + 1):
        if end == len(names) or names[end] != names[start]:
            yield start, end
            start = end
