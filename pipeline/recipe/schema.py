"""The JSON Schema of a recipe, for editors: completion, help and red underlines while a recipe is written.

It holds kinds, fields with their descriptions, types, choices and defaults. Names, cycles and columns are
checked by `parse`.
"""

from __future__ import annotations

from typing import Any

from pipeline.recipe.descriptions import descriptions, summary
from pipeline.recipe.vocabulary import Field, Vocabulary, fields_of

OWN = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"  # the place of a node of the user's own, whose fields no schema knows
NODES = {"type": "object", "additionalProperties": {"$ref": "#/$defs/node"}}
CARRIED = {
    "type": "object", "required": ["first", "then"], "additionalProperties": False,
    "properties": {"first": {"type": "string"}, "then": {"type": "string"}},
}  # fmt: skip
NUMBERS = {"type": "object", "additionalProperties": {"type": "number"}}


def schema(vocabulary: Vocabulary) -> dict[str, Any]:
    """The schema, draft 2020-12."""
    kinds = {kind: vocabulary.node(kind) for kind in sorted(vocabulary.nodes)}
    definitions = {f"node.{kind}": _class(cls, vocabulary, {"use": {"const": kind}}) for kind, cls in kinds.items()}
    definitions |= {f"value.{kind}": _value(kind, cls, vocabulary) for kind, cls in sorted(vocabulary.values.items())}
    definitions["node"] = {
        "type": "object",
        "required": ["use"],
        "properties": {"use": {"anyOf": [{"enum": list(kinds)}, {"type": "string", "pattern": OWN}]}},
        "allOf": [
            {
                "if": {"properties": {"use": {"const": kind}}, "required": ["use"]},
                "then": {"$ref": f"#/$defs/node.{kind}"},
            }
            for kind in kinds
        ],
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "siftloom recipe",
        "type": "object",
        "required": ["nodes"],
        "additionalProperties": False,
        "properties": {
            "name": {"type": "string", "description": "names the run; the file's name when left out"},
            "store": {
                "type": "string",
                "description": "where results are kept; relative to the recipe, or a URI",
            },
            "nodes": NODES,
            "repeat": {
                "type": "object",
                "description": "nodes of rounds: NAME_1, NAME_2, ...",
                "required": ["times", "nodes"],
                "additionalProperties": False,
                "properties": {
                    "times": {"type": "integer", "minimum": 0},
                    "carry": {"type": "object", "additionalProperties": CARRIED},
                    "nodes": NODES,
                },
            },
        },
        "$defs": definitions,
    }


def _class(
    cls: type, vocabulary: Vocabulary, more: dict[str, Any] | None = None, skip: str | None = None
) -> dict[str, Any]:
    fields = {key: field for key, field in fields_of(cls).items() if key != skip}
    return {
        "type": "object",
        "description": summary(cls),
        "required": [*(more or {}), *(key for key, field in fields.items() if field.required)],
        "additionalProperties": False,
        "properties": {**(more or {}), **{key: _described(cls, field, vocabulary) for key, field in fields.items()}},
    }


def _value(kind: str, cls: type, vocabulary: Vocabulary) -> dict[str, Any]:
    """The forms of a value: the bare kind, `{kind: {fields}}`, `{kind: first, ...}`."""
    first = next((field for field in fields_of(cls).values() if field.positional), None)
    forms: list[dict[str, Any]] = [
        {
            "type": "object",
            "required": [kind],
            "additionalProperties": False,
            "properties": {kind: _class(cls, vocabulary)},
        }
    ]
    if first is not None:
        forms.append(_class(cls, vocabulary, {kind: _described(cls, first, vocabulary)}, skip=first.key))
    if not any(field.required for field in fields_of(cls).values()):
        forms.append({"const": kind})
    return {"anyOf": forms}


def _described(cls: type, field: Field, vocabulary: Vocabulary) -> dict[str, Any]:
    text = descriptions(cls).get(field.key)
    return _field(field, vocabulary) | ({"description": text} if text else {})


def _field(field: Field, vocabulary: Vocabulary) -> dict[str, Any]:
    kinds = vocabulary.kinds_for(field)
    if field.takes_node:
        one = [{"type": "string"}, {"$ref": "#/$defs/node"}]
        forms = one + ([{"type": "array", "minItems": 1, "items": {"anyOf": one}}] if field.takes_many else [])
        forms += [NUMBERS] if field.mixture else []
        forms += [{"$ref": f"#/$defs/value.{kind}"} for kind in sorted(kinds)]
    elif kinds:
        forms = [{"$ref": f"#/$defs/value.{kind}"} for kind in sorted(kinds)]
        forms += [{"type": "array", "items": {"anyOf": list(forms)}}] if field.takes_list else []
    else:
        return {**_plain(field), **_default(field)}
    return {"anyOf": forms + ([{"type": "null"}] if field.optional else []), **_default(field)}


def _plain(field: Field) -> dict[str, Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(field.hint).json_schema()


def _default(field: Field) -> dict[str, Any]:
    # a default that is itself a node or a value has no short form; its docstring says it
    plain = isinstance(field.default, str | int | float | bool | None)
    return {"default": field.default} if plain else {}
