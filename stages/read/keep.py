"""Which fields of a record travel with its document, and in which columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.errors import RecipeError
from stages.documents import RESERVED, SOURCE_FIELDS

KINDS = {"string": str, "int64": int, "float64": float, "bool": bool}
REST = "*"  # every field that has no column of its own, all of them in the column `source_fields`


@dataclass(frozen=True)
class Kept:
    """A column of its own: its name, the field that it comes from, its type."""

    name: str
    field: str
    kind: str

    @staticmethod
    def parse(entry: str) -> Kept:
        """`name`, `name:type`, `name=field` or `name=field:type`."""
        name, _, kind = entry.partition(":")
        name, _, field = name.partition("=")
        return Kept(name, field or name, kind or "string")


@dataclass(frozen=True)
class KeptFields:
    """`named`: the columns of their own; `rest`: whether the other fields travel too."""

    named: tuple[Kept, ...]
    rest: bool

    @staticmethod
    def parse(entries: Sequence[str]) -> KeptFields:
        return KeptFields(tuple(Kept.parse(entry) for entry in entries if entry != REST), REST in entries)

    def check(self) -> None:
        names: set[str] = set()
        for kept in self.named:
            if kept.kind not in KINDS:
                raise RecipeError(
                    f"read.keep: {kept.name}:{kept.kind}", f"the type {kept.kind!r}", f"one of {', '.join(KINDS)}"
                )
            if kept.name in RESERVED or kept.name in names:
                raise RecipeError(f"read.keep: {kept.name}", "a name that the base has already", "another name")
            names.add(kept.name)

    def columns(self) -> dict[str, str]:
        """Column -> type, in the order of a row."""
        rest = {SOURCE_FIELDS: "string"} if self.rest else {}
        return {**{kept.name: kept.kind for kept in self.named}, **rest}

    def taken(self, *others: str) -> frozenset[str]:
        """Fields at the top of a record that are no part of the rest: those with a column, and some others."""
        return frozenset((*others, *(kept.field for kept in self.named)))


def without(record: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """A record without a field in a field (`doc.text`), which is a column of its own."""
    head, dot, rest = path.partition(".")
    if path in record or not dot or not isinstance(record.get(head), Mapping):
        return {name: value for name, value in record.items() if name != path}
    return {name: without(value, rest) if name == head else value for name, value in record.items()}
