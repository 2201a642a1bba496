"""Prompts from the columns of a row: `{text}` and other names in braces, `{{` for a brace."""

from __future__ import annotations

import string
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.contract import Node
from pipeline.errors import RecipeError
from stages.documents import ID, TEXT, columns_of

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Template:
    """A template; `max_chars` bounds the text that is put in, from its beginning."""

    template: str
    max_chars: int

    def columns(self) -> tuple[str, ...]:
        """The columns that it names, in order of their first use."""
        names = [name for _, name, _, _ in string.Formatter().parse(self.template) if name is not None]
        return tuple(dict.fromkeys(names))

    def check(self, place: str, docs: Node | tuple[Node, ...]) -> None:
        """Raise `RecipeError` for a template without a column, or with one that the documents do not carry."""
        try:
            names = self.columns()
        except ValueError as error:
            raise RecipeError(place, f"{self.template!r} ({error})", "names in braces, {{ and }} for braces") from error
        have = columns_of(docs)
        if not names:
            raise RecipeError(place, f"{self.template!r}", "a column in braces, such as {text}")
        if missing := [name for name in names if name not in have]:
            raise RecipeError(place, f"no column {missing[0]!r}", f"one of {', '.join(sorted(have))}")

    def needs(self) -> tuple[str, ...]:
        """The columns to read: those it names, and the id, which is the key of the request."""
        return tuple(dict.fromkeys((ID, *self.columns())))

    def fill(self, table: pa.Table) -> Iterator[str]:
        """One prompt for every row; a null is an empty text."""
        columns = {name: table[name].to_pylist() for name in self.columns()}
        for row in range(table.num_rows):
            values = {name: "" if column[row] is None else column[row] for name, column in columns.items()}
            if TEXT in values:
                values[TEXT] = values[TEXT][: self.max_chars]
            yield self.template.format_map(values)
