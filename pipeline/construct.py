"""A node is held against its types before it is made, so that a mistake in Python is told as one in a recipe is.

The metaclass of nodes does it. A node that is unpickled was checked when it was made and is not checked again.
"""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import MinLen

from pipeline.bounds import crossed
from pipeline.errors import RecipeError
from pipeline.values import Gives, Misfit, Problem, fitted, hints_of, nearest, shown

DOCUMENTS = Gives(("documents",))


class Checked(type):
    """Metaclass of nodes: `cls(...)` raises RecipeError for every argument that its field cannot hold."""

    if not TYPE_CHECKING:  # a type checker goes by the fields of the class

        def __call__(cls, *args: Any, **given: Any) -> Any:
            node = super().__call__(**held(cls, args, given))
            if wrong := crossed(node):
                name, found, expected = wrong
                raise problem(cls, f"{cls.__name__}.{name}", found, expected)
            return node


def held(cls: Any, args: tuple[Any, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as the fields hold them. Raises RecipeError, the other problems as its notes."""
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    problems = [
        problem(cls, cls.__name__, f"{shown(value)} without the name of a field", f"one of {', '.join(fields)}")
        for value in args
    ]
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in fields:
            found = f"no field {name!r}{nearest(name, list(fields))}"
            problems.append(problem(cls, cls.__name__, found, f"one of {', '.join(fields)}"))
            continue
        try:
            values[name] = fitted(hint_of(cls, name), value)
        except Misfit as misfit:
            place = f"{cls.__name__}.{name}"
            problems += [problem(cls, placed(place, each), each.found, each.expected) for each in misfit.problems]
    missing = [name for name, field in fields.items() if name not in given and _required(field)]
    if missing:
        found = f"no {' and no '.join(missing)}"
        problems.append(problem(cls, cls.__name__, found, f"a value for {' and '.join(missing)}"))
    if problems:
        first, *others = problems
        for other in others:
            first.add_note(str(other))
        raise first
    return values


@functools.cache
def hint_of(cls: Any, name: str) -> Any:
    """Return the hint of a field. The field of a node's stream takes documents, of one node or of several."""
    hint = hints_of(cls).get(name, Any)
    node = next(base for base in reversed(cls.__mro__) if isinstance(base, Checked))
    if name == cls.stream and hint in (node, node | tuple[node, ...]):
        documents = Annotated[node, DOCUMENTS]
        return typing.Union[documents, Annotated[tuple[documents, ...], MinLen(1)]]  # noqa: UP007  `|` is for classes
    return hint


def placed(place: str, wrong: Problem) -> str:
    """Where in a field a problem is: `Read.paths[1]`."""
    return place + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in wrong.path)


def problem(cls: Any, place: str, found: str, expected: str) -> RecipeError:
    """The error of a field, which sends its reader to the kind's help."""
    return RecipeError(place, found, expected, f"siftloom help {cls.kind()}")


def _required(field: dataclasses.Field) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
