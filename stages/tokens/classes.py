"""A text under every code of its classes, as GeDi reads it: the code of its own class first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stages.tokens.sample import Sample, Span

NO_CLASS, NO_TEXT_OF_CLASS = "no_class", "no_text"


@dataclass(frozen=True, kw_only=True)
class Classes(Sample):
    """A piece for each code, all in one group: the code, and behind it the text, which is learned. A code is one token,
    a special token that the tokenizer reserves.

    text       the column of the text
    label      the column of the class
    codes      class -> the special token that stands for it; a row of another class is left out
    max_chars  how much of a text is taken, from its beginning
    """

    text: str = "text"
    label: str = "label"
    codes: Mapping[str, str]
    max_chars: int = 2000

    def __post_init__(self) -> None:
        names = list(self.codes.values()) if isinstance(self.codes, Mapping) else []
        if not all(isinstance(one, str) for one in names):
            raise ValueError(f"codes: found {names}, expected names of special tokens")
        if len(names) < 2 or len(set(names)) < len(names):
            raise ValueError(f"codes: found {names}, expected a code of its own for each of two classes or more")
        if self.max_chars < 1:
            raise ValueError(f"max_chars: found {self.max_chars}, expected at least 1")

    @property
    def roles(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return tuple(self.codes.values())

    @property
    def reasons(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return (NO_CLASS, NO_TEXT_OF_CLASS)

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.text, self.label)

    @property
    def needs(self) -> tuple[str, ...]:
        return self.roles

    def pieces(self, row: Mapping[str, Any]) -> Mapping[str, tuple[Span, ...]] | str:
        own = self.codes.get(row[self.label])
        if own is None:
            return NO_CLASS
        if not row[self.text]:
            return NO_TEXT_OF_CLASS
        text = Span(row[self.text][: self.max_chars], learned=True)
        order = sorted(self.roles, key=lambda code: code != own)
        return {code: (Span(code, special=True), text) for code in order}
