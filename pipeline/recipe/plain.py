"""Plain values of a recipe against type hints, by pydantic, the only place that imports it.

Strict: text is no number, a number is no text, 1 is not true; a whole number is taken where a number with a
point is wanted. Lists become tuples, since nodes are frozen.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.fingerprint import alternatives
from pipeline.recipe.tree import DIGITS, INTEGER, Items, Mark, Table, Tree, plain, shown

# what pydantic calls a type, and what a recipe calls it
OURS = {
    "a valid tuple": "a list",
    "a valid string": "text",
    "a valid boolean": "true or false",
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid dictionary": "a mapping",
}
BOUNDS = {
    "greater than or equal to": "at least", "less than or equal to": "at most", "greater than": "above",
    "less than": "below",
}  # fmt: skip


class Misfit(Exception):
    """Values that do not fit their hints; `problems` are (mark, found, expected)."""

    def __init__(self, problems: list[tuple[Mark, str, str]]) -> None:
        super().__init__(problems)
        self.problems = problems


def checked(hint: Any, tree: Tree, key: str) -> Any:
    """The value of a tree as its type hint wants it; `key` names it in messages. Raises Misfit."""
    from pydantic import ValidationError

    try:
        return _adapter(hint).validate_python(_keyed(hint, tree, key, _tuples(plain(tree))))
    except ValidationError as errors:
        tried = [(*_followed(tree, key, error["loc"]), error["msg"]) for error in errors.errors()]
    # A union fails once per member: the members that came furthest are what the writer meant.
    deepest = max(depth for depth, *_ in tried)
    found: dict[tuple[Tree, str], dict[str, None]] = {}
    for depth, place, at, message in tried:
        if depth == deepest:
            message = message.removeprefix("Input should be ")
            for theirs, ours in BOUNDS.items():
                message = message.replace(theirs, ours)
            found.setdefault((place, at), {})[OURS.get(message, message)] = None
    raise Misfit(
        [(place.mark, f"{at} is {shown(place)}", " or ".join(wanted)) for (place, at), wanted in found.items()]
    )


def _keyed(hint: Any, tree: Tree, at: str, value: Any) -> Any:
    """The value with whole numbers for the keys of a mapping that is declared so: a recipe's keys are texts."""
    if not isinstance(tree, Table) or not any(_has_whole_keys(one) for one in alternatives([hint])):
        return value
    found: dict[Any, Any] = {}
    for text, item in value.items():
        if not INTEGER.fullmatch(text) or len(text) > DIGITS:
            raise Misfit([(tree.keys[text], f"{at} has the key {text!r}", "whole numbers as keys")])
        if (number := int(text)) in found:
            raise Misfit([(tree.keys[text], f"{at} has the key {number} twice", "each key once")])
        found[number] = item
    return found


def _has_whole_keys(hint: Any) -> bool:
    keys = typing.get_args(hint)[:1]
    return typing.get_origin(hint) in (dict, Mapping) and list(alternatives(keys)) == [int]


def _followed(tree: Tree, at: str, path: Sequence[int | str]) -> tuple[int, Tree, str]:
    """How far pydantic's location leads into the tree, and what stands there; types in it are skipped."""
    depth = 0
    for step in path:
        if isinstance(tree, Items) and isinstance(step, int) and step < len(tree.items):
            depth, tree, at = depth + 1, tree.items[step], f"{at}[{step}]"
        elif isinstance(tree, Table) and str(step) in tree.entries:
            depth, tree, at = depth + 1, tree.entries[str(step)], f"{at}.{step}"
    return depth, tree, at


def _tuples(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    return {key: _tuples(item) for key, item in value.items()} if isinstance(value, dict) else value


@functools.cache
def _adapter(hint: Any):
    from pydantic import ConfigDict, TypeAdapter

    return TypeAdapter(hint, config=ConfigDict(strict=True))
