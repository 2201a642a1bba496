"""Configuration to canonical form to identity.

The identity of a node is SHA-256 over canonical JSON of its kind, its `version`, its fields and the identities of its
inputs. It must be the same in every process on every machine, so a value without a stable form is refused instead of
guessed at: callables, NaN and infinities, sets of objects, anything that would fall back to a default `repr`.

What a task does is named by fewer fields, and without what it does it to: `pipeline.driver.identities`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import cache
from pathlib import PurePath
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pipeline.contract import Node
from pipeline.errors import IdentityError, RecipeError
from pipeline.files.address import Address


def canonical(value: Any, node_identity: Callable[[Node], Any], place: str) -> Any:
    """The JSON value that stands for `value`; `place` names it in errors (`GopherQuality.min_words`)."""
    if value is None or (isinstance(value, bool | str | int) and not isinstance(value, Enum)):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise IdentityError(place, f"the value {value}", "a finite number")
        return value
    if isinstance(value, Node):
        return {"node": node_identity(value)}
    if isinstance(value, PurePath):
        return value.as_posix()
    if isinstance(value, Mapping):
        if value and all(type(key) is int for key in value):  # `1` and `"1"` are two keys
            return {"pairs": [[key, canonical(value[key], node_identity, f"{place}.{key}")] for key in sorted(value)]}
        if bad := [key for key in value if not isinstance(key, str)]:
            raise IdentityError(
                place, f"a mapping with the key {bad[0]!r}", "keys that are all strings or all whole numbers"
            )
        return {key: canonical(value[key], node_identity, f"{place}.{key}") for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [canonical(item, node_identity, f"{place}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, set | frozenset):
        if not all(isinstance(item, str | int) for item in value):
            raise IdentityError(place, "a set of objects", "a tuple, or a set of strings or numbers")
        return {"set": sorted(value, key=lambda item: (str(type(item)), item))}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {"value": type(value).__name__, "fields": fields_of(value, node_identity, place=place)}
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    raise IdentityError(
        place, f"a value of type {kind}, which has no stable form", "numbers, strings, tuples or frozen dataclasses"
    )


def fields_of(
    value: Any,
    node_identity: Callable[[Node], Any],
    *,
    skip_roles: Iterable[str] = ("runtime",),
    only: Iterable[str] | None = None,
    replace: Mapping[str, Any] | None = None,
    place: str = "",
) -> dict[str, Any]:
    """Canonical fields of a dataclass value, in order of name. `replace` gives the stand-ins of some fields."""
    place = place or type(value).__name__
    skipped, wanted, stand_ins = set(skip_roles), None if only is None else set(only), replace or {}
    form = {}
    for field in sorted(dataclasses.fields(value), key=lambda f: f.name):
        if field.metadata.get("role") in skipped or (wanted is not None and field.name not in wanted):
            continue
        if field.name in stand_ins:
            form[field.name] = stand_ins[field.name]
            continue
        hint = _hints(type(value)).get(field.name, field.type)
        content = as_declared(getattr(value, field.name), [hint])
        if field.metadata.get("role") == "target" and isinstance(content, str):
            content = str(Address(content))  # the credentials for a place are no part of what lies there
        form[field.name] = canonical(content, node_identity, f"{place}.{field.name}")
    return form


def as_declared(value: Any, hints: Sequence[Any]) -> Any:
    """The value with floats for the whole numbers in it that are declared as floats: `1` and `1.0` in a field of floats
    are one configuration. `hints` are the types that it may have.
    """
    types = list(alternatives(hints))
    if type(value) is int:
        return float(value) if float in types and int not in types else value
    inner = [arguments for each in types if get_origin(each) is not Literal and (arguments := get_args(each))]
    if isinstance(value, Mapping):
        of_values = [arguments[-1] for arguments in inner]
        return {key: as_declared(item, of_values) for key, item in value.items()}
    if isinstance(value, list | tuple):
        fixed = [arguments for arguments in inner if Ellipsis not in arguments and len(arguments) == len(value)]
        return [
            as_declared(item, [arguments[i if arguments in fixed else 0] for arguments in inner])
            for i, item in enumerate(value)
        ]
    return value


def alternatives(hints: Iterable[Any]) -> Iterator[Any]:
    """The types behind unions, and without their bounds."""
    for hint in hints:
        if get_origin(hint) in (Union, UnionType):
            yield from alternatives(get_args(hint))
        elif get_origin(hint) is Annotated:
            yield from alternatives(get_args(hint)[:1])
        else:
            yield hint


@cache
def _hints(cls: type) -> Mapping[str, Any]:
    try:
        return get_type_hints(cls)
    except NameError:  # a name that only type checkers import
        return {}


def digest(form: Any) -> str:
    """SHA-256 of canonical JSON, 64 hex digits."""
    return hashlib.sha256(canonical_json(form)).hexdigest()


def canonical_json(form: Any) -> bytes:
    """Compact JSON with sorted keys; the bytes that are hashed and stored."""
    return json.dumps(form, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def node_form(
    node: Node,
    identity: Callable[[Node], Any],
    stand_ins: Mapping[str, Any],
    *,
    skip_roles: Iterable[str] = ("runtime",),
    only: Iterable[str] | None = None,
) -> dict[str, Any]:
    """Kind, version and fields of a node. `stand_ins` gives what stands for some fields: digests for those of paths."""
    form = {
        "kind": node.kind(),
        "version": node.version,
        "fields": fields_of(node, identity, skip_roles=skip_roles, only=only, replace=stand_ins),
    }
    return form | _libraries(node)


def _libraries(node: Node) -> dict[str, Any]:
    return {"libraries": {name: _release(node, name) for name in node.libraries}} if node.libraries else {}


def _release(node: Node, name: str) -> str:
    """The installed version of a distribution; raises `RecipeError` with the command that installs it."""
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        raise RecipeError(
            node.kind(), f"the library {name} is not installed", f"{name}", f"pip install {name}"
        ) from None


def source_form(node: Node, field: str, names: Sequence[str], digests: Sequence[str]) -> list[Any]:
    """What stands for a field of paths: the digests of its files, each with its mark where the node gives marks."""
    marks = node.source_marks(field, names)
    return list(digests) if marks is None else [list(pair) for pair in zip(digests, marks, strict=True)]
