"""Configurations are held against their types before they are made: `AdamW(lr="fast")` names the field.

This package stands alone, so this says what `pipeline.values` says of nodes and recipes, for the few types that a
configuration of a model has.
"""

from __future__ import annotations

import dataclasses
import functools
import numbers
import types
import typing
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

WORDS = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}


class Typed(type):
    """Metaclass of configurations: `cls(...)` raises ValueError for what its fields cannot hold. Numbers of numpy
    become Python's, and lists tuples.
    """

    if not TYPE_CHECKING:  # a type checker goes by the fields of the class

        def __call__(cls, *args: Any, **given: Any) -> Any:
            fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
            places = [name for name, field in fields.items() if not field.kw_only]
            if len(args) > len(places):
                raise ValueError(f"{cls.__name__}: found {len(args)} values without a name, expected {len(places)}")
            given = {**dict(zip(places, args, strict=False)), **given}
            for name in given:
                if name not in fields:
                    near = "".join(f"; did you mean {word!r}?" for word in get_close_matches(name, fields, n=1))
                    raise ValueError(f"{cls.__name__}: found {name!r}{near}, expected one of {', '.join(fields)}")
            if missing := [name for name, field in fields.items() if name not in given and _required(field)]:
                raise ValueError(f"{cls.__name__}: found no {missing[0]}, expected a value for {', '.join(missing)}")
            hints = _hints(cls)
            return super().__call__(
                **{name: _held(cls, name, hints[name], value) if hints else value for name, value in given.items()}
            )


def _held(cls: type, name: str, hint: Any, value: Any) -> Any:
    fits, held = _fit(hint, value)
    if not fits:
        found = f"the class {value.__name__}" if isinstance(value, type) else f"{_shown(value)}"
        raise ValueError(f"{cls.__name__}.{name}: found {found}, expected {_words(hint)}")
    return held


def _fit(hint: Any, value: Any) -> tuple[bool, Any]:
    """Whether a value fits a hint, and the value as the field holds it."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        tried = [_fit(each, value) for each in arguments]
        return next((found for found in tried if found[0] and found[1] is value), None) or max(
            tried, key=lambda t: t[0]
        )
    if origin is typing.Annotated:
        return _fit(arguments[0], value)
    if origin is typing.Literal:
        return any(type(value) is type(word) and value == word for word in arguments), value
    if origin is tuple:
        return _fit_items(arguments, value)
    if hint in (int, float):
        kind = numbers.Integral if hint is int else numbers.Real
        if not isinstance(value, kind) or isinstance(value, bool):
            return False, value
        try:
            return True, value if type(value) is hint else hint(typing.cast("Any", value))
        except OverflowError:
            return False, value
    if hint is type(None):
        return value is None, value
    return not isinstance(hint, type) or isinstance(value, hint), value


def _fit_items(hints: Sequence[Any], value: Any) -> tuple[bool, Any]:
    if not isinstance(value, list | tuple) or (hints[-1] is not Ellipsis and len(hints) != len(value)):
        return False, value
    found = [_fit(hints[0] if hints[-1] is Ellipsis else hints[i], item) for i, item in enumerate(value)]
    return all(fits for fits, _ in found), tuple(held for _, held in found)


def _words(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join("nothing" if each is type(None) else _words(each) for each in arguments)
    if origin is typing.Annotated:
        return _words(arguments[0])
    if origin is typing.Literal:
        return " or ".join(map(repr, arguments))
    if origin is tuple:
        return "a list" if arguments[-1] is Ellipsis else f"a list of {len(arguments)} values"
    return WORDS.get(hint) or f"a value of the class {getattr(hint, '__name__', hint)}"


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # nested without end; a whole number of more digits than Python writes
        text = f"a {type(value).__name__} too long to show"
    return text if len(text) <= 60 else text[:57] + "..."


@functools.cache
def _hints(cls: type) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except NameError:  # a name that only type checkers import
        return {}


def _required(field: dataclasses.Field) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
