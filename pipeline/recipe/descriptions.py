"""What each field of a node or value means, taken from the docstring of its class.

A docstring lists fields in one of two forms, and continues a description on indented lines:

    field, other  the description of both
    - `field`: the description
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Iterator, Mapping

from pipeline.contract import Node
from pipeline.recipe.vocabulary import Field, fields_of

LISTED = re.compile(r"(?:- )?(?P<names>`?\w+`?(?:, `?\w+`?)*)(?:  +|: )(?P<text>\S.*)")
TYPE = re.compile(r"^(u?int|float)\d+ +|^(string|bool) +")
COMMON = {  # fields that mean the same everywhere; a docstring that says more wins
    "docs": "the documents to work on: the name of a node, or several",
    "allow_empty": "accept a result without a single document; else a node that removes everything stops the run",
    "seed": "chooses among the random draws; another seed, other choices",
    "device": "`cpu` or `cuda`; part of the identity, since their sums differ",
    "commit_rows": "rows of a shard after which results are stored, so that a killed worker loses no more; null = none",
    "threads": "of the arithmetic; they decide bits, so they are part of the identity",
}


@functools.cache
def summary(cls: type) -> str:
    """Return the first paragraph of a class's docstring on one line."""
    return " ".join(inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0].split())


@functools.cache
def descriptions(cls: type) -> dict[str, str]:
    """Return key -> description for the fields that a docstring of the class, or of a class it builds on, lists."""
    fields = fields_of(cls)
    by_name = {name: key for key, field in fields.items() for name in (key, field.name)}
    found = {key: COMMON[key] for key in fields if key in COMMON} | _limits(cls, fields)
    for owner in reversed(cls.__mro__):
        for names, text in _listed(owner.__dict__.get("__doc__") or ""):
            for name in names:
                if name in by_name:
                    found[by_name[name]] = text
    return found


def _limits(cls: type, fields: Mapping[str, Field]) -> dict[str, str]:
    """Return descriptions of the thresholds of rules: their reasons have the names of their fields."""
    reasons = getattr(cls, "reasons", ())
    if not issubclass(cls, Node) or not isinstance(reasons, tuple):
        return {}
    sides = {"min": "less", "max": "more"}
    measured = _measured(cls, fields)
    return {
        key: measured.get(key[4:], "")
        + f"a document with {sides[key[:3]]} is removed, with the reason `{cls.kind()}.{key}`; null = no limit"
        for key in fields
        if key[:4] in ("min_", "max_") and f"{cls.kind()}.{key}" in reasons
    }


def _measured(cls: type, fields: Mapping[str, Field]) -> dict[str, str]:
    """Return rule -> the meaning of the column that holds its measure, where the docstring lists the column."""
    found: dict[str, str] = {}
    for names, text in _listed(cls.__doc__ or ""):
        for name in names:
            if name not in fields:
                found.setdefault(name.partition("_")[2], TYPE.sub("", text) + "; ")
    return found


def _listed(docstring: str) -> Iterator[tuple[list[str], str]]:
    names: list[str] = []
    text: list[str] = []
    indented = 0
    for line in [*inspect.cleandoc(docstring).splitlines(), ""]:
        begins = LISTED.fullmatch(line)
        if names and line.startswith(" ") and (line.strip() and len(line) - len(line.lstrip()) >= indented):
            text.append(line.strip())
            continue
        if names:
            yield names, " ".join(text)
            names = []
        if begins:
            names, text = re.findall(r"\w+", begins["names"]), [begins["text"]]
            indented = 2
