"""A value against the type that its field declares: one set of rules for what a recipe says and for what Python gives.

The rules are strict: text is no number, and 1 is not true. Values that mean the same are taken and held in one form: a
list as a tuple, a whole number as a float where the field has floats, numpy's numbers as Python's, a `pathlib` path as
text.
"""

from __future__ import annotations

import dataclasses
import functools
import numbers
import types
import typing
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from enum import Enum
from pathlib import PurePath
from typing import Any, NamedTuple

from annotated_types import MinLen

from pipeline.bounds import Test, described, fails, tests_in

DEEPEST = 20  # of lists in lists; a list that holds itself has no end


@dataclasses.dataclass(frozen=True)
class Gives:
    """In the hint of a field of nodes: what the node must give (`Node.gives`), and kinds that do, for the message."""

    what: tuple[str, ...]
    kinds: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"a node that gives {_or([_one(word) for word in self.what])}" + (
            f", as {_or(self.kinds)}" if self.kinds else ""
        )


@dataclasses.dataclass(frozen=True)
class Form:
    """In the hint of a field of text: what the text looks like, for the message."""

    words: str


class Problem(NamedTuple):
    """What does not fit: where in the value, what stands there, and what may."""

    path: tuple[int | str, ...]
    found: str
    expected: str


class Misfit(Exception):
    """A value that does not fit its hint."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(problems)
        self.problems = problems


def fitted(hint: Any, value: Any) -> Any:
    """The value as a field of this hint holds it. Raises Misfit."""
    found, problems = _fit(hint, value, ())
    if problems:
        # A union fails once for each of its members: those that came furthest are what the writer meant.
        deepest = max(len(path) for path, *_ in problems)
        said: dict[tuple[int | str, ...], tuple[Any, dict[str, None]]] = {}
        for path, wrong, expected in problems:
            if len(path) == deepest:
                said.setdefault(path, (wrong, {}))[1][expected] = None
        raise Misfit([Problem(path, _found(wrong, hint), " or ".join(ways)) for path, (wrong, ways) in said.items()])
    return found


def shown(value: Any) -> str:
    """A value as a message shows it, at most a line of it."""
    if value is None:
        return "an empty value"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if callable(value) and hasattr(value, "__name__"):
        return f"the function {value.__name__}"
    if kind := getattr(type(value), "kind", None):
        return f"{_one(kind())} node"
    if not isinstance(value, str | int | float | bool | list | tuple | Mapping) and not dataclasses.is_dataclass(value):
        return f"a value of type {type(value).__module__}.{type(value).__qualname__}"
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # nested without end; a whole number of more digits than Python writes
        text = f"a {type(value).__name__} too long to show"
    text = text if len(text) <= 60 else text[:57] + "..."
    return f"{text} (text)" if isinstance(value, str) else text


def nearest(word: str, words: Sequence[str]) -> str:
    """Return `; did you mean 'x'?`, or nothing."""
    close = get_close_matches(word, words, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def hints_of(cls: type) -> Mapping[str, Any]:
    """Return the type hints of a class with their bounds. A class whose hints only type checkers can read has none."""
    return _hints(cls)


@functools.cache
def _hints(cls: type) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except NameError:
        return {}


Found = tuple[Any, list[tuple[tuple[int | str, ...], Any, str]]]  # the value as it is held; (path, value, expected)


def _fit(hint: Any, value: Any, path: tuple[int | str, ...]) -> Found:
    """`value` against `hint`, which stands at `path`."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value, []
    if len(path) > DEEPEST:
        return value, [(path, value, f"at most {DEEPEST} lists in one another")]
    if origin in (typing.Union, types.UnionType):
        return _fit_one(arguments, value, path)
    if origin is typing.Annotated:
        return _fit_bounds(arguments[0], hint.__metadata__, value, path)
    if origin is typing.Literal:
        fits = any(type(value) is type(word) and value == word for word in arguments)
        return value, [] if fits else [(path, value, _or([repr(word) for word in arguments]))]
    if origin is tuple:
        return _fit_items(arguments, value, path)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _fit_entries(arguments, value, path)
    return _fit_plain(origin or hint, value, path)


def _fit_one(hints: Sequence[Any], value: Any, path: tuple[int | str, ...]) -> Found:
    """One of several hints: the one that takes the value as it is, else the first that takes it."""
    if value is None and type(None) in hints:
        return None, []
    tried = [_fit(hint, value, path) for hint in hints if hint is not type(None)]
    fits = [found for found, problems in tried if not problems]
    if fits:
        return next((found for found in fits if found is value), fits[0]), []
    return value, [problem for _, problems in tried for problem in problems]


def _fit_bounds(hint: Any, metadata: Sequence[Any], value: Any, path: tuple[int | str, ...]) -> Found:
    found, problems = _fit(hint, value, path)
    if problems and (wants := next((item for item in metadata if isinstance(item, Gives | Form)), None)):
        return found, [(path, value, str(wants) if isinstance(wants, Gives) else wants.words)]
    for item in metadata if not problems else ():
        if isinstance(item, Gives) and getattr(found, "gives", None) not in item.what:
            return found, [(path, value, str(item))]
        if isinstance(item, MinLen) and len(found) < item.min_length:
            return found, [(path, value, f"at least {item.min_length} of them")]
    tests: tuple[Test, ...] = tests_in(metadata)
    if not problems and tests and fails(tests, found):
        return found, [(path, value, described(tests))]
    return found, problems


def _fit_items(hints: Sequence[Any], value: Any, path: tuple[int | str, ...]) -> Found:
    """A list of one type, or of so many values of their own types. Pairs are taken from a mapping too."""
    if isinstance(value, Mapping) and hints[-1] is Ellipsis and len(typing.get_args(hints[0])) == 2:
        value = tuple(value.items())
    if not isinstance(value, list | tuple):
        return value, [(path, value, "a list")]
    if hints[-1] is not Ellipsis and len(value) != len(hints):
        return value, [(path, value, f"a list of {len(hints)} values")]
    each = [hints[0]] * len(value) if hints[-1] is Ellipsis else hints
    found = [_fit(hint, item, (*path, i)) for i, (hint, item) in enumerate(zip(each, value, strict=True))]
    problems = [problem for _, some in found for problem in some]
    held = tuple(item for item, _ in found)
    return (value if type(value) is tuple and all(map(_same, held, value)) else held), problems


def _fit_entries(hints: Sequence[Any], value: Any, path: tuple[int | str, ...]) -> Found:
    if not isinstance(value, Mapping):
        return value, [(path, value, "a mapping")]
    held: dict[Any, Any] = {}
    problems = []
    for key, item in value.items():
        name, wrong = _fit(hints[0], key, path)
        problems += [(path, key, f"{expected} as a key") for _, _, expected in wrong]
        held[key if wrong else name], wrong = _fit(
            hints[1], item, (*path, key if isinstance(key, str | int) else shown(key))
        )
        problems += wrong
    same = type(value) is dict and all(key in value and _same(value[key], item) for key, item in held.items())
    return (value if same else held), problems


def _fit_plain(hint: Any, value: Any, path: tuple[int | str, ...]) -> Found:
    if hint is bool:
        fits = isinstance(value, bool) or type(value).__name__ in ("bool_", "bool")  # numpy's is of no abstract kind
        return (value if value is True or value is False or not fits else bool(value)), _unless(fits, path, value, hint)
    if hint in (int, float):
        kind = numbers.Integral if hint is int else numbers.Real
        fits = isinstance(value, kind) and not isinstance(value, bool) and not isinstance(value, Enum)
        if fits and type(value) is not hint:
            try:
                return hint(typing.cast("Any", value)), []
            except OverflowError:
                return value, [(path, value, "a number below 1.8e308")]
        return value, _unless(fits, path, value, hint)
    if hint is str:
        if isinstance(value, PurePath):
            value = str(value)
        if not isinstance(value, str):
            return value, _unless(False, path, value, hint)
        text = value if type(value) is str else str.__str__(value)
        return text, _unless(_is_utf8(text), path, text, "text that UTF-8 can hold")
    if not isinstance(hint, type):
        return value, []
    if isinstance(value, hint):
        return _fit_value(value, path)
    return value, _unless(False, path, value, hint)


def _fit_value(value: Any, path: tuple[int | str, ...]) -> Found:
    """A value with fields of its own. A node has held its fields against their hints when it was made."""
    if not dataclasses.is_dataclass(value) or hasattr(type(value), "kind"):
        return value, []
    hints, held, problems = hints_of(type(value)), {}, []
    for field in dataclasses.fields(value):
        if field.init and field.name in hints:
            given = getattr(value, field.name)
            found, wrong = _fit(hints[field.name], given, (*path, field.name))
            problems += wrong
            if not _same(found, given):
                held[field.name] = found
    return (dataclasses.replace(typing.cast("Any", value), **held) if held and not problems else value), problems


def _same(one: Any, other: Any) -> bool:
    return one is other or (type(one) is type(other) and isinstance(one, str | int | float) and one == other)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unless(fits: bool, path: tuple[int | str, ...], value: Any, hint: Any) -> list[tuple[Any, Any, str]]:
    if fits:
        return []
    expected = hint if isinstance(hint, str) else _words(hint)
    if hint is str and value is False:
        expected += " (in quotes: older YAML takes an unquoted `no` for false)"
    return [(path, value, expected)]


def _words(hint: Any) -> str:
    """What a type is called in a message."""
    plain = {str: "text", bool: "true or false", int: "a whole number", float: "a number", dict: "a mapping"}
    if hint in plain:
        return plain[hint]
    return "a node" if hasattr(hint, "kind") else f"a value of the class {hint.__name__}, or of one below it"


def _one(word: str) -> str:
    return word if word.endswith("s") else f"an {word}" if word[0] in "aeio" or word[1] == "-" else f"a {word}"


def _found(value: Any, hint: Any) -> str:
    """What stands there, and the word that was meant."""
    words = [word for word in _literals(hint) if isinstance(word, str)]
    return shown(value) + (nearest(value, words) if isinstance(value, str) else "")


def _literals(hint: Any) -> list[Any]:
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return list(arguments)
    return [word for argument in arguments for word in _literals(argument)]


def _or(words: Sequence[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last
