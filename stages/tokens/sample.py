"""From the columns of a row to a sample: the slot, and a prompt with its answer.

A sample is a group of pieces, a piece is spans. Each span is tokenised by itself and the tokens are joined, so that the
tokens of a prompt are the same whether an answer stands behind it or is asked for. A special token enters by its name
alone: its name inside a text stays text. A new kind of sample is a file with a class of this base and a line in
`stages.catalog.SAMPLES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from models.fields import Typed
from pipeline.contract import Node
from pipeline.errors import RecipeError
from stages.documents import columns_of

NO_ANSWER = "no_answer"


class Span(NamedTuple):
    """A part of a piece.

    text     ordinary text; with `special` the name of a special token
    learned  whether a model shall learn to write it
    ids      tokens as a model drew them, in the place of a text. Where they are learned and stand last, the token that
             ends a text is learned with them only where it is the last of them
    """

    text: str
    learned: bool = False
    special: bool = False
    ids: tuple[int, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Sample(metaclass=Typed):
    """Base of all kinds of samples.

    roles    what the pieces of a group are, in the order of their numbers in the rows
    reasons  why a row may be no sample
    types    types that its columns may have
    """

    roles: ClassVar[tuple[str, ...]] = ("answer",)
    reasons: ClassVar[tuple[str, ...]] = (NO_ANSWER,)
    types: ClassVar[tuple[str, ...]] = ("string",)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it is made of."""
        raise NotImplementedError(f"{type(self).__name__}.columns")

    @property
    def needs(self) -> tuple[str, ...]:
        """Special tokens that the tokenizer must reserve."""
        return ()

    def pieces(self, row: Mapping[str, Any]) -> Mapping[str, tuple[Span, ...]] | str:
        """Role -> spans of that piece, or the reason why the row is no sample."""
        raise NotImplementedError(f"{type(self).__name__}.pieces")


def check_columns(place: str, sample: Sample, docs: Node | tuple[Node, ...]) -> None:
    """Raise RecipeError for a column that the documents do not carry in a type that the sample takes."""
    have = columns_of(docs)
    for name in sample.columns:
        if have.get(name) not in sample.types:
            found = f"no column {name!r}" if name not in have else f"the column {name!r} of type {have[name]}"
            names = sorted(one for one, kind in have.items() if kind in sample.types)
            raise RecipeError(place, found, f"a {' or '.join(sample.types)} column: {', '.join(names)}")


@dataclass(frozen=True, kw_only=True)
class Answer(Sample):
    """A prompt and its answer; the answer is learned.

    prompt  the column of the prompt, which may be empty
    answer  the column of the answer
    """

    prompt: str = "prompt"
    answer: str = "text"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.prompt, self.answer)

    def pieces(self, row: Mapping[str, Any]) -> Mapping[str, tuple[Span, ...]] | str:
        answer = row[self.answer]
        if not answer:
            return NO_ANSWER
        return {"answer": (Span(row[self.prompt] or ""), Span(answer, learned=True))}
