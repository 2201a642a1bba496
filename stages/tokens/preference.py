"""Two answers to one prompt, of which one was chosen, as a sample of two pieces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from stages.tokens.sample import NO_ANSWER, Sample, Span

EQUAL_SIDES = "equal_sides"


@dataclass(frozen=True, kw_only=True)
class Preference(Sample):
    """A prompt, the chosen answer and the rejected one. Each answer stands behind a copy of the prompt and is learned.

    prompt    the column of the prompt, which may be empty
    chosen    the column of the chosen answer
    rejected  the column of the rejected answer

    A column holds text, or (list<int32>) tokens as a model drew them, which are taken as they are: the steps of
    `step_tree`, of which none has to end a text.
    """

    prompt: str = "prompt"
    chosen: str = "chosen"
    rejected: str = "rejected"

    roles: ClassVar[tuple[str, ...]] = ("chosen", "rejected")
    reasons: ClassVar[tuple[str, ...]] = (NO_ANSWER, EQUAL_SIDES)
    types: ClassVar[tuple[str, ...]] = ("string", "list<int32>")

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.prompt, self.chosen, self.rejected)

    def pieces(self, row: Mapping[str, Any]) -> Mapping[str, tuple[Span, ...]] | str:
        chosen, rejected = row[self.chosen], row[self.rejected]
        if not chosen or not rejected:
            return NO_ANSWER
        if chosen == rejected:
            return EQUAL_SIDES
        asked = _span(row[self.prompt] or "")
        return {"chosen": (asked, _span(chosen, learned=True)), "rejected": (asked, _span(rejected, learned=True))}


def _span(value: str | Sequence[int], *, learned: bool = False) -> Span:
    return Span(value, learned) if isinstance(value, str) else Span("", learned, ids=tuple(value))
