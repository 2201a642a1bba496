"""The fields that travel in the column `source_fields`, found and laid out again by those who write files.

A field whose name a written column has (`lang`, say, where `language` added one) stays in `source_fields`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.contract import json_object

if TYPE_CHECKING:
    import pyarrow as pa

MOST = 256  # names that are told apart; of more, names are values, and all fields stay together
EXACT = 2**53  # up to which a float64 holds every whole number
JSON = "json"  # the type of a field whose values have no type in common, or are lists or objects


class FieldTypes:
    """The names of fields, and the types that their values have."""

    def __init__(self) -> None:
        self.kinds: dict[str, set[str]] = {}

    def add(self, fields: Mapping[str, Any]) -> None:
        if len(self.kinds) > MOST:
            return
        for name, value in fields.items():
            kinds = self.kinds.get(name)
            if kinds is None:
                kinds = self.kinds[name] = set()
            kinds.add(_kind(value))

    def facts(self) -> dict[str, list[str]]:
        """Name -> types, for a receipt."""
        if len(self.kinds) > MOST:
            return {f"{number}": [JSON] for number in range(MOST + 1)}  # as many as are too many
        return {name: sorted(kinds) for name, kinds in sorted(self.kinds.items())}


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "exact" if abs(value) <= EXACT else "int64" if -(2**63) <= value < 2**63 else JSON
    if isinstance(value, float):
        return "float64"
    return "string" if isinstance(value, str) and _whole(value) else JSON


def _whole(text: str) -> bool:
    """Whether a string has no half of a surrogate pair, which a column of strings cannot hold."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def layout(facts: Iterable[Mapping[str, Sequence[str]]], taken: Collection[str]) -> dict[str, str]:
    """Name -> type of the fields of all shards, in the order of their names; those in `taken` are left out."""
    kinds: dict[str, set[str]] = {}
    for each in facts:
        for name, found in each.items():
            kinds.setdefault(name, set()).update(found)
    if len(kinds) > MOST:
        return {}
    return {name: _type(kinds[name] - {"null"}) for name in sorted(kinds) if name not in taken}


def _type(kinds: set[str]) -> str:
    if kinds <= {"exact", "int64"} and kinds:
        return "int64"
    if kinds <= {"exact", "float64"} and kinds:
        return "float64"
    return next(iter(kinds), "string") if len(kinds) < 2 else JSON


def parsed(column: pa.ChunkedArray) -> list[dict[str, Any]]:
    """The fields of every row."""
    return [json.loads(value) if value else {} for value in column.to_pylist()]


def columns(rows: Sequence[dict[str, Any]], types: Mapping[str, str]) -> dict[str, pa.Array]:
    """The fields of rows as columns of these types; takes them out of the rows."""
    import pyarrow as pa

    found = {}
    for name, kind in types.items():
        values = [row.pop(name, None) for row in rows]
        if kind == JSON:
            values = [None if value is None else _text(value) for value in values]
        elif kind == "float64":
            values = [None if value is None else float(value) for value in values]
        found[name] = pa.array(values, pa.string() if kind == JSON else pa.type_for_alias(kind))
    return found


def _text(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if _whole(text) else json.dumps(value)


def rest(rows: Sequence[dict[str, Any]]) -> pa.Array:
    """What is left of the fields of rows, one object a row."""
    import pyarrow as pa

    return pa.array([json_object(row) for row in rows], pa.string())
