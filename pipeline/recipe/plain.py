"""Plain values of a recipe against type hints: the rules are `pipeline.values`, the places are the recipe's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline import values
from pipeline.recipe.tree import Items, Mark, Table, Tree


class Misfit(Exception):
    """Values that do not fit their hints; `problems` are (mark, found, expected)."""

    def __init__(self, problems: list[tuple[Mark, str, str]]) -> None:
        super().__init__(problems)
        self.problems = problems


def held(hint: Any, value: Any, tree: Tree, key: str) -> Any:
    """`value`, which was made of a tree, as its type hint wants it. Raises Misfit."""
    try:
        return values.fitted(hint, value)
    except values.Misfit as misfit:
        problems = [(*_followed(tree, key, each.path), each) for each in misfit.problems]
    raise Misfit([(place.mark, f"{at} is {each.found}", each.expected) for place, at, each in problems])


def _followed(tree: Tree, at: str, path: Sequence[int | str]) -> tuple[Tree, str]:
    """What stands where a path leads in the tree, as far as the tree says it."""
    for step in path:
        at += f"[{step}]" if isinstance(step, int) else f".{step}"
        if isinstance(tree, Items) and isinstance(step, int) and step < len(tree.items):
            tree = tree.items[step]
        elif isinstance(tree, Table) and str(step) in tree.entries:
            tree = tree.entries[str(step)]
    return tree, at
