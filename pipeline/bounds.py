"""Types of fields that say which numbers make sense, and the check of a node's fields against them.

`pipeline.values` holds these types against what a recipe says and against what Python code gives, and `siftloom schema`
prints them as `minimum` and `maximum`. Standard library and annotated-types only.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any

from annotated_types import Ge, Gt, Interval, Le, Lt

Count = Annotated[int, Ge(0)]
Positive = Annotated[int, Ge(1)]
Amount = Annotated[float, Ge(0)]
Share = Annotated[float, Interval(ge=0, le=1)]
ShareAboveZero = Annotated[float, Interval(gt=0, le=1)]
ShareBelowOne = Annotated[float, Interval(ge=0, lt=1)]
AmountAboveZero = Annotated[float, Gt(0)]

Test = Ge | Gt | Le | Lt
WORDS = {Ge: "at least", Gt: "above", Le: "at most", Lt: "below"}


def crossed(node: Any) -> tuple[str, str, str] | None:
    """The first `min_...` of a node that is above its `max_...`: the field, what was found, what was expected."""
    for field in dataclasses.fields(node):
        if not field.name.startswith("min_"):
            continue
        low, high = getattr(node, field.name), getattr(node, "max_" + field.name[4:], None)
        if _is_number(low) and _is_number(high) and low > high:
            return field.name, f"{low}, above max_{field.name[4:]}, {high}", f"a number of at most {high}"
    return None


def described(tests: tuple[Test, ...]) -> str:
    """Return bounds in words: `at least 0 and at most 1`."""
    return " and ".join(f"{WORDS[type(test)]} {_limit(test)}" for test in tests)


def bounds_of(hint: Any) -> tuple[Test, ...]:
    """Return the bounds that a type hint names, below unions, lists and mappings too."""
    return tuple(dict.fromkeys(_tests(hint)))


def tests_in(metadata: Sequence[Any]) -> tuple[Test, ...]:
    """Return those parts of an `Annotated` that are bounds."""
    found: list[Test] = []
    for item in metadata:
        found += [test for test in item if isinstance(test, Test)] if isinstance(item, Interval) else ()
        found += [item] if isinstance(item, Test) else ()
    return tuple(found)


def fails(tests: Iterable[Test], value: int | float) -> bool:
    """Whether a number is outside of some bound."""
    return not all(_holds(test, value) for test in tests)


def _tests(hint: Any) -> Iterator[Test]:
    if typing.get_origin(hint) is Annotated:
        yield from tests_in(hint.__metadata__)
    for argument in typing.get_args(hint)[:1] if typing.get_origin(hint) is Annotated else typing.get_args(hint):
        yield from _tests(argument)


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
