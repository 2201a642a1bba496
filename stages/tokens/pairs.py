"""Two texts that belong together, and some that do not, as a sample whose vectors are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from stages.tokens.sample import Sample, Span

NO_PAIR = "no_pair"


@dataclass(frozen=True, kw_only=True)
class Pairs(Sample):
    """A query and the text that belongs to it; each is a piece of its own. Of one column twice they are two views of
    a text, which dropout or crops make different.

    query        the column of the query
    positive     the column of the text that belongs to it
    negative     the column of a text that does not, though it looks so; null = the other pairs of a batch alone
    instruction  what stands before a query, and is seen but not pooled
    max_chars    how much of a text is taken, from its beginning
    """

    query: str = "query"
    positive: str = "positive"
    negative: str | None = None
    instruction: str = ""
    max_chars: int = 2000

    roles: ClassVar[tuple[str, ...]] = ("query", "positive", "negative")
    reasons: ClassVar[tuple[str, ...]] = (NO_PAIR,)

    def __post_init__(self) -> None:
        if self.max_chars < 1:
            raise ValueError(f"max_chars: found {self.max_chars}, expected at least 1")

    @property
    def columns(self) -> tuple[str, ...]:
        names = (self.query, self.positive, *(() if self.negative is None else (self.negative,)))
        return tuple(dict.fromkeys(names))

    def pieces(self, row: Mapping[str, Any]) -> Mapping[str, tuple[Span, ...]] | str:
        texts = {"query": row[self.query], "positive": row[self.positive]}
        if self.negative is not None:
            texts["negative"] = row[self.negative]
        if not all(text and text.strip() for text in texts.values()):
            return NO_PAIR
        found: dict[str, tuple[Span, ...]] = {}
        for role, text in texts.items():
            found[role] = (Span(text[: self.max_chars], learned=True),)
        if self.instruction:
            found["query"] = (Span(self.instruction), *found["query"])
        return found
