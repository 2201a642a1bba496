"""Regular expressions of Python, as fields of a node and lines of a list; and one expression of many words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from pipeline.contract import Context, Node
from pipeline.errors import RecipeError
from stages.clean.url_lists import entries

Where = Literal["any", "start", "end"]


def one_of(words: Sequence[str]) -> str:
    """Return an expression of some words that looks at each letter once: a list of 1,500 is a hundred times as slow."""
    after: dict[str, list[str]] = {}
    for word in words:
        if word:
            after.setdefault(word[0], []).append(word[1:])
    found = "|".join(re.escape(letter) + one_of(rest) for letter, rest in sorted(after.items()))
    if not found:
        return ""
    return f"(?:{found})" + "?" * ("" in words)


def all_of(ctx: Context, patterns: Sequence[str], field: str, lower: bool = False) -> str:
    """Return one expression, without a group, of some and of those of a field of lists, the latter in lower case."""
    many = [*patterns, *entries(ctx, field, lower)]
    if all(re.escape(each).replace("\\ ", " ").replace("\\-", "-") == each for each in many):
        return one_of(many)
    return "|".join(many)


def require_expressions(node: Node, patterns: Sequence[str], lists: Sequence[str]) -> None:
    """Raise a RecipeError for no expression at all, or for one that is none of Python's."""
    if not (patterns or lists):
        raise RecipeError(f"{node.kind()}.patterns", "no expression", "expressions, or files of them in `lists`")
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            place, wanted = f"{node.kind()}.patterns", "a regular expression of Python; `re.escape` makes one"
            raise RecipeError(place, f"{pattern!r}: {error}", wanted) from None
