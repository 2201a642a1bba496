"""Nodes and values of a recipe in words: what they do, their fields, an example; for `help` and the reference pages."""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pipeline.bounds import bounds_of, described
from pipeline.contract import Node
from pipeline.recipe.descriptions import descriptions, summary
from pipeline.recipe.vocabulary import Field, fields_of
from pipeline.recipe.write import flow
from siftloom.vocabulary import vocabulary

WORDS = {int: "whole number", float: "number", str: "text", bool: "true or false", type(None): "null", Any: "anything"}


@dataclasses.dataclass(frozen=True)
class Explained:
    """One node or value. `fields` hold `name`, `type`, `default`, `role` and `description`, all of them text."""

    kind: str
    doc: str
    fields: list[dict[str, str]]
    example: str


def explain(kind: str, cls: type) -> Explained:
    """Return a node or value in words."""
    known = descriptions(cls)
    fields = [
        {
            "name": key,
            "type": type_of(field),
            "default": "required" if field.required else _shown(field.default),
            "role": field.role or "",
            "description": known.get(key, ""),
        }
        for key, field in fields_of(cls).items()
    ]
    return Explained(kind, inspect.cleandoc(cls.__doc__ or ""), fields, _example(kind, cls, fields))


def sentence(cls: type) -> str:
    """Return the first sentence of a class's docstring."""
    return re.split(r"(?<!al)\.\s+(?=[A-Z])", summary(cls), maxsplit=1)[0].rstrip(".")


def type_of(field: Field) -> str:
    """Return a field's type in the words of a recipe."""
    kinds = vocabulary().kinds_for(field)
    if field.takes_node:
        forms = ["node", *["list of nodes"] * field.takes_many, *["shares"] * bool(field.mixture), *kinds]
        return " or ".join([*forms, *["null"] * field.optional])
    if kinds:
        return ("list of " if field.takes_list else "") + " or ".join([*kinds, *["null"] * field.optional])
    limits = described(bounds_of(field.hint))
    return _words(field.hint) + (f", {limits}" if limits else "")


def _words(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _words(arguments[0])
    if origin is Literal:
        return " or ".join(map(str, arguments))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(_words, arguments)))
    if origin is tuple:
        items = [item for item in arguments if item is not Ellipsis]
        return f"list of {_words(items[0])}" if len(items) < len(arguments) else f"[{', '.join(map(_words, items))}]"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"mapping from {_words(arguments[0])} to {_words(arguments[1])}"
    return WORDS.get(hint) or getattr(hint, "__name__", str(hint))


def _shown(value: Any) -> str:
    if (kind := vocabulary().kind_of(value)) is not None:
        return kind
    try:
        return flow(list(value) if isinstance(value, tuple) else value)
    except Exception:  # a value of a class of its own, which has a short form in a recipe only
        return str(value)


def _example(kind: str, cls: type, fields: list[dict[str, str]]) -> str:
    """Return a line of a recipe with every required field, and one that has a default."""
    required = [f"{f['name']}: ..." for f in fields if f["default"] == "required"]
    if not issubclass(cls, Node):
        return f"{{{kind}: {{{', '.join(required)}}}}}"
    simple = [f for f in fields if f["default"] not in ("required", "null", "[]") and f["name"] != "allow_empty"]
    more = [f"{f['name']}: {f['default']}" for f in simple[:1]]
    return f"name: {{use: {kind}, {', '.join([*required, *more])}}}"
