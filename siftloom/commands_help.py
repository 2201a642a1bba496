"""`help`: every node and value of a recipe, its fields, and what each of them means."""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from typing import Annotated, Any

import typer

from siftloom.commands_run import JSON
from siftloom.screen import say, say_json, table


def help(
    kind: Annotated[str | None, typer.Argument(help="a node or value of a recipe", metavar="[NODE]")] = None,
    as_json: JSON = False,
) -> None:
    """Explain a node: what it does, its fields and an example. Without a name, list all nodes."""
    from pipeline.recipe.descriptions import summary
    from siftloom.vocabulary import vocabulary

    known = vocabulary()
    if kind is None:
        nodes = {name: _sentence(summary(known.node(name))) for name in known.nodes}
        if as_json:
            say_json(nodes)
        else:
            table(("node", "does"), nodes.items())
            say("\nsiftloom help NODE explains one; values: " + ", ".join(known.values))
        return
    cls = _class(kind)
    fields = [_field(kind, cls, key, field) for key, field in _fields(cls).items()]
    example = _example(kind, cls, fields)
    if as_json:
        say_json({"kind": kind, "doc": inspect.cleandoc(cls.__doc__ or ""), "fields": fields, "example": example})
        return
    say(inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0] + "\n")
    rows = [(f["name"], f["type"], f["default"], f["description"]) for f in fields]
    table(("field", "type", "default", "meaning"), rows)
    say(f"\n{example}")


def _class(kind: str) -> type:
    from pipeline.errors import UserError
    from pipeline.recipe.tree import nearest
    from siftloom.vocabulary import vocabulary

    known = vocabulary()
    if kind in known.nodes:
        return known.node(kind)
    if kind in known.values:
        return known.values[kind]
    names = [*known.nodes, *known.values]
    raise UserError("help", f"no node or value {kind!r}{nearest(kind, names)}", "a name that `siftloom help` lists")


def _fields(cls: type) -> dict[str, Any]:
    from pipeline.recipe.vocabulary import fields_of

    return fields_of(cls)


def _field(kind: str, cls: type, key: str, field: Any) -> dict[str, str]:
    from pipeline.recipe.descriptions import descriptions

    default = "required" if field.default is dataclasses.MISSING else _shown(field.default)
    return {
        "name": key, "type": _type(field), "default": default, "description": descriptions(cls).get(key, ""),
    }  # fmt: skip


def _type(field: Any) -> str:
    """Return a field's type in the words of a recipe."""
    from pipeline.bounds import bounds_of, described

    if field.takes_node:
        return "node" + (" or list" if field.takes_many else "") + (" or shares" if field.mixture else "")
    if field.classes:
        return " or ".join(cls.__name__ for cls in field.classes)
    text = _plain(field.hint)
    for long, short in (
        ("typing.", ""),
        ("Literal", "one of "),
        ("NoneType", "null"),
        ("None", "null"),
        ("tuple", "list"),
    ):
        text = text.replace(long, short)
    limits = described(bounds_of(field.hint))
    return text.replace(", ...]", "]") + (f", {limits}" if limits else "")


def _plain(hint: Any) -> str:
    """Return a type hint as text, without its bounds."""
    if typing.get_origin(hint) is Annotated:
        return _plain(typing.get_args(hint)[0])
    if isinstance(hint, type) and not typing.get_args(hint):
        return hint.__name__
    return re.sub(r"Annotated\[(\w+), [^\]]*\]", r"\1", str(hint))


def _shown(value: Any) -> str:
    from pipeline.recipe.write import flow

    try:
        return flow(list(value) if isinstance(value, tuple) else value)
    except Exception:  # a value of a class of its own, which has a short form in a recipe only
        return str(value)


def _sentence(text: str) -> str:
    return re.split(r"(?<!al)\.\s+(?=[A-Z])", text, maxsplit=1)[0].rstrip(".")


def _example(kind: str, cls: type, fields: list[dict[str, str]]) -> str:
    """Return a line of a recipe with every required field, and one that has a default."""
    from pipeline.contract import Node

    required = [f"{f['name']}: ..." for f in fields if f["default"] == "required"]
    if not issubclass(cls, Node):
        return f"example:  {{{kind}: {{{', '.join(required)}}}}}"
    simple = [f for f in fields if f["default"] not in ("required", "null", "[]") and f["name"] != "allow_empty"]
    more = [f"{f['name']}: {f['default']}" for f in simple[:1]]
    return f"example:  name: {{use: {kind}, {', '.join([*required, *more])}}}"
