"""YAML text as a tree that remembers where everything stands.

Scalars follow the core schema of YAML 1.2. By PyYAML's 1.1 `no` is false, `1e-3` a string and `12:30` a number. So a
list of languages may hold `no`, and a learning rate may be written as people write it. `10_000` is a number too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import yaml

from pipeline import values
from pipeline.errors import RecipeError

INTEGER = re.compile(r"[-+]?[0-9]+(_[0-9]+)*")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(_[0-9]+)*(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
DIGITS = 300  # of a whole number: a number with a point holds no longer one, and Python converts only 4,300
MOST_VALUES = 100_000  # of a recipe with all its aliases written out: anchors of anchors grow without bound
MOST_NESTED = 100  # lists and mappings in one another, aliases written out: more is read by no eye, nor by a stack
SCALARS = {
    "": None,
    "~": None,
    "null": None,
    "true": True,
    "false": False,
    ".inf": float("inf"),
    "-.inf": -float("inf"),
}


@dataclass(frozen=True)
class Mark:
    """A place in a recipe (line and column from 1), or in an override of the command line."""

    source: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}"


@dataclass(frozen=True, eq=False)
class Leaf:
    """A scalar."""

    mark: Mark
    value: str | int | float | bool | None


@dataclass(frozen=True, eq=False)
class Items:
    """A list."""

    mark: Mark
    items: tuple[Tree, ...]


@dataclass(frozen=True, eq=False)
class Table:
    """A mapping; `keys` are the places of its keys."""

    mark: Mark
    entries: dict[str, Tree] = field(default_factory=dict)
    keys: dict[str, Mark] = field(default_factory=dict)


Tree = Leaf | Items | Table


def plain(tree: Tree) -> Any:
    """The tree as Python values, places forgotten."""
    if isinstance(tree, Leaf):
        return tree.value
    if isinstance(tree, Items):
        return [plain(item) for item in tree.items]
    return {key: plain(value) for key, value in tree.entries.items()}


def inner(tree: Tree) -> tuple[Tree, ...]:
    """The values of a list or a mapping, in order."""
    return tree.items if isinstance(tree, Items) else tuple(tree.entries.values()) if isinstance(tree, Table) else ()


def shown(tree: Tree) -> str:
    """Return the tree as an error message shows it, at most a line of it."""
    return values.shown(plain(tree))


def nearest(word: str, words: Iterable[str]) -> str:
    """Return `; did you mean 'x'?`, or nothing."""
    return values.nearest(word, list(words))


def compose(text: str, source: str) -> Tree:
    """Raises RecipeError, with line and column, for what is no YAML, doubled keys, tags, self-reference."""
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Mark(source, mark.line + 1, mark.column + 1) if mark else source
        found = ", ".join(part for part in (error.context, error.problem) if part)
        raise RecipeError(str(place), found, "YAML") from None
    except yaml.reader.ReaderError as error:
        raise RecipeError(source, f"character {error.character!r} at position {error.position}", "YAML text") from None
    except RecursionError:
        raise RecipeError(source, "lists or mappings in one another", f"at most {MOST_NESTED} levels") from None
    if root is None:
        raise RecipeError(source, "an empty file", "a recipe with `nodes:`", "siftloom init PATH writes one")
    try:
        return _Converter(source).convert(root)
    except RecursionError:
        raise RecipeError(source, "lists or mappings in one another", f"at most {MOST_NESTED} levels") from None


def override(root: Table, path: list[str], value: Tree, source: str) -> Table:
    """The tree with one value replaced; every key but the last must lead to a mapping that exists."""
    key, rest = path[0], path[1:]
    if rest:
        child = root.entries.get(key)
        if child is None:
            raise RecipeError(
                source,
                f"no {key!r} at {root.mark}{nearest(key, iter(root.entries))}",
                f"one of {', '.join(root.entries)}",
            )
        if not isinstance(child, Table):
            raise RecipeError(source, f"{key!r} at {child.mark} is {shown(child)}", "a mapping")
        value = override(child, rest, value, source)
        return replace(root, entries={**root.entries, key: value})
    return replace(root, entries={**root.entries, key: value}, keys={**root.keys, key: value.mark})


class _Loader(yaml.SafeLoader):
    """Resolves nothing: every scalar arrives as text, and `_Converter` decides."""

    yaml_implicit_resolvers: ClassVar[dict] = {}  # pyright: ignore[reportIncompatibleVariableOverride]


class _Converter:
    def __init__(self, source: str) -> None:
        self.source = source
        self.done: dict[int, Tree] = {}  # an alias is the same tree: two users of one anchor share one node
        self.open: set[int] = set()
        self.sizes: dict[int, int] = {}  # values of a tree with all its aliases written out
        self.heights: dict[int, int] = {}  # levels of a tree, likewise

    def mark(self, node: yaml.Node) -> Mark:
        return Mark(self.source, node.start_mark.line + 1, node.start_mark.column + 1)

    @staticmethod
    def too_deep(mark: Mark) -> RecipeError:
        return RecipeError(
            str(mark), "lists or mappings in one another", f"at most {MOST_NESTED} levels",
            "give inner nodes names of their own: `nodes` may hold a chain of any length",
        )  # fmt: skip

    def convert(self, node: yaml.Node) -> Tree:
        if id(node) in self.open:
            raise RecipeError(
                str(self.mark(node)), "an anchor that holds itself", "an anchor without its own alias in it"
            )
        if len(self.open) > MOST_NESTED:
            raise self.too_deep(self.mark(node))
        if id(node) not in self.done:
            self.open.add(id(node))
            tree = self.done[id(node)] = self._convert(node)
            self.open.remove(id(node))
            inside = inner(tree)
            self.sizes[id(tree)] = 1 + sum(self.sizes[id(child)] for child in inside)
            self.heights[id(tree)] = 1 + max((self.heights[id(child)] for child in inside), default=0)
            if self.heights[id(tree)] > MOST_NESTED + 1:
                raise self.too_deep(tree.mark)
            if self.sizes[id(tree)] > MOST_VALUES:
                raise RecipeError(
                    str(tree.mark),
                    f"more than {MOST_VALUES:,} values once its aliases are written out",
                    "fewer aliases",
                )
        return self.done[id(node)]

    def _convert(self, node: yaml.Node) -> Tree:
        mark = self.mark(node)
        if not node.tag.startswith("tag:yaml.org,2002:") or node.tag.rpartition(":")[2] not in (
            "str",
            "seq",
            "map",
        ):
            raise RecipeError(str(mark), f"the tag {node.tag}", "no tags")
        if isinstance(node, yaml.ScalarNode):
            try:
                return Leaf(mark, node.value if node.style else scalar(node.value))
            except ValueError as error:
                raise RecipeError(str(mark), f"{node.value[:20]}...: {error}", "a smaller number") from None
        if isinstance(node, yaml.SequenceNode):
            return Items(mark, tuple(self.convert(item) for item in node.value))
        table = Table(mark)
        for key, value in node.value:
            place = self.mark(key)
            if not isinstance(key, yaml.ScalarNode):
                raise RecipeError(str(place), "a key that is not a name", "a name")
            if key.value in table.entries:
                raise RecipeError(
                    str(place), f"the key {key.value!r} twice (first at {table.keys[key.value]})", "each key once"
                )
            table.entries[key.value], table.keys[key.value] = self.convert(value), place
        return table


def scalar(text: str) -> str | int | float | bool | None:
    """Return a plain scalar by the core schema. Raises ValueError for a number that no field can hold."""
    if text in SCALARS:
        return SCALARS[text]
    if INTEGER.fullmatch(text):
        if len(text) > DIGITS:
            raise ValueError(f"a whole number of {len(text):,} digits")
        return int(text)
    if FLOAT.fullmatch(text):
        if math.isinf(number := float(text)):
            raise ValueError("a number beyond 1.8e308")
        return number
    return text
