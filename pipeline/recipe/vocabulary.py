"""The names of nodes and values, and what each of their fields takes: for the reader, the writer and the schema."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import types
import typing
from collections.abc import Mapping
from typing import Any

from pipeline.contract import Node
from pipeline.errors import RecipeError
from pipeline.recipe.own_nodes import is_place, own_node, place_of


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """`nodes`: kind -> "module:Class", imported when first used. `values`: name -> frozen dataclass."""

    nodes: Mapping[str, str]
    values: Mapping[str, type]

    def node(self, kind: str) -> type[Node]:
        """The class behind `use`: a kind, or the place of a user's own class. KeyError for a kind that does not exist,
        RecipeError for a place that holds no node.
        """
        if is_place(kind):
            own = own_node(kind)
            if own.kind() in self.nodes and self.node(own.kind()) is not own:
                raise RecipeError(
                    "use", f"{kind} is of the kind {own.kind()!r}, as a node of siftloom is", "a class of another name"
                )
            return own
        module, _, name = self.nodes[kind].partition(":")
        return getattr(importlib.import_module(module), name)

    def use_of(self, cls: type[Node]) -> str | None:
        """How a recipe names a class of nodes; None for one that no recipe can name, as a class of a script."""
        kind = cls.kind()
        if kind in self.nodes:
            return kind if self.node(kind) is cls else None
        return place_of(cls)

    def kinds_for(self, field: Field) -> dict[str, type]:
        """The kinds of values that a field takes, by its type hint."""
        return {kind: cls for kind, cls in self.values.items() if issubclass(cls, field.classes)}

    def kind_of(self, value: Any) -> str | None:
        """The recipe name of a value, None when it is no value of ours."""
        return self.kind_of_class(type(value))

    def kind_of_class(self, cls: type) -> str | None:
        return next((kind for kind, known in self.values.items() if known is cls), None)


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of a node or value: `name` in Python, `key` in a recipe (`as_` is `as`, `version_` is `version`)."""

    name: str
    key: str
    hint: Any  # with its bounds (`pipeline.bounds`)
    default: Any  # dataclasses.MISSING when the field must be given
    role: str | None  # "sources", "threshold", "runtime"
    positional: bool
    takes_node: bool  # a node name or an inline node
    takes_many: bool  # a list of them
    mixture: type | None  # a mapping from node names to numbers, held as a `dict` or as a `tuple` of pairs
    takes_text: bool  # plain text beside nodes (a path)
    optional: bool
    classes: tuple[type, ...]  # dataclasses that are no nodes

    @property
    def takes_list(self) -> bool:
        """Whether the field holds a list, of which one entry may stand alone."""
        return typing.get_origin(self.hint) is tuple

    @property
    def required(self) -> bool:
        return self.default is dataclasses.MISSING


@functools.cache
def fields_of(cls: type) -> dict[str, Field]:
    """The fields of a node or value class by recipe key, in their order."""
    bare, hints = typing.get_type_hints(cls), typing.get_type_hints(cls, include_extras=True)
    stream = cls.stream if issubclass(cls, Node) else None
    found = (
        dataclasses.replace(_field(field, bare[field.name], stream), hint=hints[field.name])
        for field in dataclasses.fields(cls)
        if field.init
    )
    return {field.key: field for field in found}


def _field(field: dataclasses.Field, hint: Any, stream: str | None) -> Field:
    leaves = set(_leaves(hint))
    nodes = {leaf for leaf in leaves if isinstance(leaf, type) and issubclass(leaf, Node)}
    containers = list(_containers(hint))
    default = field.default
    if default is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    return Field(
        name=field.name,
        key=field.name.removesuffix("_"),  # which keeps a name apart from Python's words and from those of `Node`
        hint=hint,
        default=default,
        role=field.metadata.get("role"),
        positional=not field.kw_only,
        takes_node=bool(nodes),
        takes_many=bool(nodes) and (field.name == stream or any(_is_many(c) for c in containers)),
        mixture=next((kind for c in containers if (kind := _mixture(c))), None),
        takes_text=bool(nodes) and str in leaves,
        optional=type(None) in leaves,
        classes=tuple(
            sorted(
                (leaf for leaf in leaves - nodes if isinstance(leaf, type) and dataclasses.is_dataclass(leaf)), key=repr
            )
        ),
    )


def _leaves(hint: Any):
    """Every type named in a hint."""
    arguments = typing.get_args(hint)
    if not arguments or typing.get_origin(hint) is typing.Literal:
        yield hint
    for argument in arguments if typing.get_origin(hint) is not typing.Literal else ():
        yield from _leaves(argument)


def _containers(hint: Any):
    """The generic types at the top of a hint: below a union, not below one another."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType, typing.Annotated):
        for argument in typing.get_args(hint):
            yield from _containers(argument)
    elif origin is not None:
        yield hint


def _is_many(container: Any) -> bool:
    return typing.get_origin(container) is tuple and _is_node(typing.get_args(container)[0])


def _mixture(container: Any) -> type | None:
    origin, arguments = typing.get_origin(container), typing.get_args(container)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return dict if _is_node(arguments[0]) else None
    pair = arguments[0] if origin is tuple else None
    if typing.get_origin(pair) is tuple and len(typing.get_args(pair)) == 2 and _is_node(typing.get_args(pair)[0]):
        return tuple
    return None


def _is_node(hint: Any) -> bool:
    return any(isinstance(leaf, type) and issubclass(leaf, Node) for leaf in _leaves(hint))
