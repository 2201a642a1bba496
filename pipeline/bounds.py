"""Types of fields that say which numbers make sense, and the check of a node's fields against them.

A recipe's reader holds these types against the text, with line and column, and `siftloom schema` prints them as
`minimum` and `maximum`. `check` does the same for nodes that Python code builds. Standard library and annotated-types
only.
"""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from annotated_types import Ge, Gt, Interval, Le, Lt

from pipeline.errors import RecipeError

Count = Annotated[int, Ge(0)]
Positive = Annotated[int, Ge(1)]
Amount = Annotated[float, Ge(0)]
Share = Annotated[float, Interval(ge=0, le=1)]
ShareAboveZero = Annotated[float, Interval(gt=0, le=1)]
ShareBelowOne = Annotated[float, Interval(ge=0, lt=1)]
AmountAboveZero = Annotated[float, Gt(0)]

Test = Ge | Gt | Le | Lt
WORDS = {Ge: "at least", Gt: "above", Le: "at most", Lt: "below"}


def check(node: Any) -> None:
    """Raise RecipeError for a number outside the bounds of its field, and for a `min_...` above its `max_...`."""
    for name, tests in _bounded(type(node)).items():
        for value in _numbers(getattr(node, name)):
            if not all(_holds(test, value) for test in tests):
                raise RecipeError(f"{node.kind()}.{name}", f"{value}", f"a number {described(tests)}")
    for field in dataclasses.fields(node):
        if not field.name.startswith("min_"):
            continue
        low, high = getattr(node, field.name), getattr(node, "max_" + field.name[4:], None)
        if _is_number(low) and _is_number(high) and low > high:
            place = f"{node.kind()}.{field.name}"
            raise RecipeError(place, f"{low}, above max_{field.name[4:]}, {high}", f"a number of at most {high}")


def described(tests: tuple[Test, ...]) -> str:
    """Return bounds in words: `at least 0 and at most 1`."""
    return " and ".join(f"{WORDS[type(test)]} {_limit(test)}" for test in tests)


def bounds_of(hint: Any) -> tuple[Test, ...]:
    """Return the bounds that a type hint names, below unions, lists and mappings too."""
    return tuple(dict.fromkeys(_tests(hint)))


@functools.cache
def _bounded(cls: type) -> dict[str, tuple[Test, ...]]:
    hints = typing.get_type_hints(cls, include_extras=True)
    found = {field.name: bounds_of(hints[field.name]) for field in dataclasses.fields(cls)}
    return {name: tests for name, tests in found.items() if tests}


def _tests(hint: Any) -> Iterator[Test]:
    for argument in typing.get_args(hint):
        if isinstance(argument, Interval):
            yield from (test for test in argument if isinstance(test, Test))
        elif isinstance(argument, Test):
            yield argument
        else:
            yield from _tests(argument)


def _numbers(value: Any) -> Iterator[int | float]:
    if _is_number(value):
        yield value
    elif isinstance(value, tuple | list | Mapping):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _numbers(item)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _limit(test: Test) -> Any:
    return getattr(test, type(test).__name__.lower())


def _holds(test: Test, value: int | float) -> bool:
    limit = _limit(test)
    match test:
        case Ge():
            return value >= limit
        case Gt():
            return value > limit
        case Le():
            return value <= limit
        case _:
            return value < limit
