"""Plain values of a recipe against type hints: the rules are `pipeline.values`, the places are the recipe's."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline import values
from pipeline.recipe.tree import DIGITS, INTEGER, Items, Mark, Table, Tree


class RecipeMisfit(Exception):
    """Values that do not fit their hints; `problems` are (mark, found, expected)."""

    def __init__(self, problems: list[tuple[Mark, str, str]]) -> None:
        super().__init__(problems)
        self.problems = problems


def held(hint: Any, value: Any, tree: Tree, key: str) -> Any:
    """`value`, which was made of a tree, as its type hint wants it. Raises Misfit."""
    value = _keyed(hint, value, tree, key)
    try:
        return values.fitted(hint, value)
    except values.Misfit as misfit:
        problems = [(*_followed(tree, key, each.path), each) for each in misfit.problems]
    raise RecipeMisfit([(place.mark, f"{at} is {each.found}", each.expected) for place, at, each in problems])


def _keyed(hint: Any, value: Any, tree: Tree, at: str) -> Any:
    """The value with whole numbers for the keys of a mapping that is declared so: a recipe's keys are texts."""
    if not isinstance(tree, Table) or not isinstance(value, Mapping) or not _has_whole_keys(hint):
        return value
    found: dict[Any, Any] = {}
    for text, item in value.items():
        if not INTEGER.fullmatch(text) or len(text) > DIGITS:
            raise RecipeMisfit([(tree.keys[text], f"{at} has the key {text!r}", "whole numbers as keys")])
        if (number := int(text)) in found:
            raise RecipeMisfit([(tree.keys[text], f"{at} has the key {number} twice", "each key once")])
        found[number] = item
    return found


def _has_whole_keys(hint: Any) -> bool:
    """Whether a hint is a mapping from whole numbers, or has one among its alternatives."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return arguments[0] is int
    return origin in (typing.Union, types.UnionType, typing.Annotated) and any(map(_has_whole_keys, arguments))


def _followed(tree: Tree, at: str, path: Sequence[int | str]) -> tuple[Tree, str]:
    """What stands where a path leads in the tree, as far as the tree says it."""
    for step in path:
        at += f"[{step}]" if isinstance(step, int) else f".{step}"
        if isinstance(tree, Items) and isinstance(step, int) and step < len(tree.items):
            tree = tree.items[step]
        elif isinstance(tree, Table) and str(step) in tree.entries:
            tree = tree.entries[str(step)]
    return tree, at
