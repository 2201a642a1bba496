"""From a recipe's tree to its nodes. Every problem is named with its line and column, all of them at once.

A field that holds a node takes a name, or an inline node (`{use: read, paths: [...]}`). Where several nodes are
allowed, a list of them becomes a tuple. A mapping from names to numbers is a mixture. A field that holds a value takes
one of three forms: `{lost: 1m, rank: 16}` (the kind with its first field, the others beside it),
`{lin_upper: {r: 1.0}}`, or the bare kind. Every field is held against its type hint by `pipeline.values`, strictly:
text is no number. Relative paths start at the recipe's folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.construct import hint_of
from pipeline.contract import Node
from pipeline.errors import RecipeError
from pipeline.recipe.order import inputs_first
from pipeline.recipe.own_nodes import is_place
from pipeline.recipe.plain import RecipeMisfit, held
from pipeline.recipe.rounds import Unrolled
from pipeline.recipe.tree import Items, Leaf, Mark, Table, Tree, nearest, plain, shown
from pipeline.recipe.vocabulary import Field, Vocabulary, fields_of

MOST_ROUND = 100  # nodes that wait for one another while a cycle is looked for
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


Change = Callable[[dict[str, Any]], dict[str, Any]]  # fields of a node by their Python names -> the fields to take


class _Problem(Exception):
    """Ends the reading of one value; the problem itself is noted already."""


class Reader:
    def __init__(self, vocabulary: Vocabulary, folder: Path | None, everywhere: Mapping[str, Change]) -> None:
        self.vocabulary, self.folder, self.everywhere = vocabulary, folder, everywhere
        self.problems: list[tuple[Mark, RecipeError]] = []
        self.rounds = Unrolled(Table(Mark("", 0, 0)))
        self.trees: Mapping[str, Tree] = {}
        self.nodes: dict[str, Node | None] = {}  # None: tried, and its problem is noted
        self.inline: dict[int, Node] = {}
        self.path: list[str] = []

    def note(self, mark: Mark, found: str, expected: str = "", then: str = "") -> _Problem:
        problem = RecipeError(str(mark), found, expected, then)
        if str(problem) not in (str(other) for _, other in self.problems):
            self.problems.append((mark, problem))
        return _Problem()

    def error(self) -> RecipeError:
        """The first problem in the text, with the others as its notes."""
        first, *others = (problem for _, problem in sorted(self.problems, key=lambda p: (p[0].line, p[0].column)))
        for other in others:
            first.add_note(str(other))
        return first

    # nodes

    def read(self, rounds: Unrolled) -> dict[str, Node]:
        self.rounds, table = rounds, rounds.nodes
        self.trees = table.entries
        for name, mark in table.keys.items():
            if not NAME.fullmatch(name):
                self.note(mark, f"the node name {name!r}", "letters, digits, '_', '-' and '.'")
        for name in inputs_first(self.trees, rounds.meant):
            self._attempt(lambda name=name: self.named(name, table.keys[name]))
        return {name: node for name in table.entries if (node := self.nodes.get(name)) is not None}

    def _attempt(self, step: Callable[[], Any]) -> Any:
        try:
            return step()
        except _Problem:
            return None

    def meant(self, name: str) -> str:
        return self.rounds.meant(name, self.path[-1] if self.path else None)

    def named(self, name: str, mark: Mark) -> Node:
        name = self.meant(name)
        if len(self.path) > MOST_ROUND:
            raise self.note(mark, f"a cycle through {name!r} of more than {MOST_ROUND} nodes", "no cycle")
        if name in self.path:
            circle = " -> ".join([*self.path[self.path.index(name) :], name])
            raise self.note(mark, f"a cycle: {circle}", "nodes that follow one another")
        if name not in self.trees:
            raise self.note(
                mark,
                f"no node {name!r}{nearest(name, iter(self.trees))}",
                "the name of a node, or an inline node `{use: ...}`",
            )
        if name not in self.nodes:
            self.nodes[name] = None
            self.path.append(name)
            try:
                self.nodes[name] = self.node(self.trees[name])
            finally:
                self.path.pop()
        if (node := self.nodes[name]) is None:
            raise _Problem
        return node

    def node(self, tree: Tree) -> Node:
        if (key := id(tree)) in self.inline:
            return self.inline[key]
        if not isinstance(tree, Table):
            raise self.note(tree.mark, shown(tree), "a node `{use: KIND, ...}`")
        kind = tree.entries.get("use")
        if kind is None:
            raise self.note(tree.mark, "a node without `use`", "`use: KIND`", "siftloom schema lists the kinds")
        word = str(plain(kind))
        if not isinstance(kind, Leaf) or not (kind.value in self.vocabulary.nodes or is_place(kind.value)):
            raise self.note(
                kind.mark,
                f"no kind of node {word!r}{nearest(word, iter(self.vocabulary.nodes))}",
                "a kind that `siftloom schema` lists, or `module:Class` for a node of your own",
            )
        try:
            cls = self.vocabulary.node(word)
        except RecipeError as error:
            raise self.note(kind.mark, error.found, error.expected, error.then) from None
        node = self.build(cls, tree, {"use"}, tree.mark)
        self.inline[key] = node
        return node

    def build(self, cls: type, tree: Table, skip: set[str], mark: Mark, given: Mapping[str, Any] | None = None) -> Any:
        """Make a node or a value from its fields. All problems are noted before this one is given up."""
        fields, values, before = fields_of(cls), dict(given or {}), len(self.problems)
        failed = False
        for key, value in tree.entries.items():
            if key in skip:
                continue
            if key not in fields:
                place = tree.keys.get(key, value.mark)
                self.note(
                    place,
                    f"unknown key {key!r} for {_kind(cls)}{nearest(key, iter(fields))}",
                    f"one of {', '.join(fields)}",
                    self.help(cls),
                )
                continue
            try:
                values[fields[key].name] = self.field(fields[key], value, cls)
            except _Problem:
                failed = True
        missing = [
            key
            for key, field in fields.items()
            if field.required and field.name not in values and key not in tree.entries
        ]
        if missing:
            self.note(
                mark,
                f"{_kind(cls)} without {', '.join(missing)}",
                f"a value for {' and '.join(missing)}",
                self.help(cls),
            )
        if failed or len(self.problems) > before:
            raise _Problem
        try:
            if issubclass(cls, Node) and cls.kind() in self.everywhere:
                values = self.everywhere[cls.kind()](values)
            value = cls(**values)
            if isinstance(value, Node):
                value.check()
        except RecipeError as error:
            place = tree.keys.get(error.place.partition(":")[0].rpartition(".")[2], mark)
            raise self.note(place, f"{error.place}: {error.found}", error.expected, error.then) from None
        except ValueError as error:
            # a message that begins with the name of a field is about that field
            found, _, expected = str(error).partition(", expected ")
            place = tree.keys.get(found.partition(":")[0], mark)
            raise self.note(place, found, expected or "another value", self.help(cls)) from None
        return value

    # fields

    def field(self, field: Field, tree: Tree, cls: type) -> Any:
        empty = isinstance(tree, Leaf) and tree.value is None
        if empty and field.optional:
            return None
        kinds = self.vocabulary.kinds_for(field)
        if field.takes_node and not (isinstance(tree, Table) and kinds.keys() & tree.entries.keys()):
            hint = hint_of(cls, field.name) if issubclass(cls, Node) else field.hint
            return self.held(hint, self.reference(field, tree), tree, field.key, cls)
        if kinds and not empty:
            if field.takes_list:
                items = tree.items if isinstance(tree, Items) else [tree]
                return tuple(self.value(field, item, kinds) for item in items)
            return self.value(field, tree, kinds)
        return self.checked(field, tree, cls)

    def reference(self, field: Field, tree: Tree) -> Any:
        if isinstance(tree, Leaf) and isinstance(tree.value, str):
            if field.takes_text and self.meant(tree.value) not in self.trees:
                return self.located(tree.value)
            return self.named(tree.value, tree.mark)
        if isinstance(tree, Items) and field.takes_many:
            if not tree.items:
                raise self.note(tree.mark, "an empty list", "at least one node")
            return tuple(self.reference(field, item) for item in tree.items)
        if isinstance(tree, Table) and "use" not in tree.entries and field.mixture:
            shares = self.mixture(tree)
            return shares if field.mixture is dict else tuple(shares.items())
        if isinstance(tree, Table):
            return self.node(tree)
        forms = ["the name of a node", "an inline node `{use: ...}`"]
        forms += ["a list of them"] * field.takes_many + ["a mapping from names to shares"] * bool(field.mixture)
        raise self.note(tree.mark, f"{field.key} is {shown(tree)}", " or ".join(forms))

    def mixture(self, tree: Table) -> dict[Node, Any]:
        shares = {}
        for name, share in tree.entries.items():
            if not isinstance(share, Leaf) or isinstance(share.value, bool) or not isinstance(share.value, int | float):
                raise self.note(share.mark, f"the share of {name!r} is {shown(share)}", "a number")
            shares[self.named(name, tree.keys[name])] = float(share.value)
        return shares

    def value(self, field: Field, tree: Tree, kinds: Mapping[str, type]) -> Any:
        expected = f"one of {', '.join(kinds)}"
        if isinstance(tree, Leaf) and isinstance(tree.value, str):
            if tree.value not in kinds:
                raise self.note(
                    tree.mark,
                    f"no kind of {field.key} {tree.value!r}{nearest(tree.value, iter(kinds))}",
                    expected,
                )
            return self.build(kinds[tree.value], Table(tree.mark), set(), tree.mark)
        if not isinstance(tree, Table) or not tree.entries:
            raise self.note(tree.mark, f"{field.key} is {shown(tree)}", f"`{{KIND: ...}}`, KIND {expected}")
        named = [key for key in tree.entries if key in kinds]
        if len(named) != 1:
            first = next(iter(tree.entries))
            found = (
                f"the kinds {' and '.join(named)}"
                if named
                else f"no kind of {field.key} {first!r}{nearest(first, iter(kinds))}"
            )
            raise self.note(tree.keys.get(first, tree.mark), found, expected)
        kind, inner = named[0], tree.entries[named[0]]
        cls, place = kinds[kind], tree.keys.get(kind, tree.mark)
        if isinstance(inner, Table):
            if len(tree.entries) > 1:
                extra = next(key for key in tree.entries if key != kind)
                raise self.note(
                    tree.keys.get(extra, tree.mark),
                    f"{extra!r} beside `{kind}: {{...}}`",
                    f"all fields inside `{kind}: {{...}}`, or all beside it",
                )
            return self.build(cls, inner, set(), place)
        first = next((f for f in fields_of(cls).values() if f.positional), None)
        given = {}
        if not (isinstance(inner, Leaf) and inner.value is None):
            if first is None:
                raise self.note(inner.mark, f"{kind}: {shown(inner)}", f"`{kind}: {{field: value}}`")
            given[first.name] = self.field(first, inner, cls)
        return self.build(cls, tree, {kind}, place, given)

    def checked(self, field: Field, tree: Tree, cls: type) -> Any:
        """A plain value, held against its type hint."""
        value = self.held(field.hint, plain(tree), tree, field.key, cls)
        return _located(value, self.located) if field.role in ("sources", "target") else value

    def held(self, hint: Any, value: Any, tree: Tree, key: str, cls: type) -> Any:
        try:
            return held(hint, value, tree, key)
        except RecipeMisfit as misfit:
            for problem in misfit.problems:
                self.note(*problem, self.help(cls))
            raise _Problem from None

    def help(self, cls: type) -> str:
        """The command that explains the fields of a class."""
        kind = self.vocabulary.use_of(cls) if issubclass(cls, Node) else self.vocabulary.kind_of_class(cls)
        return f"siftloom help {kind}" if kind else ""

    def located(self, path: str) -> str:
        """A path from the recipe's folder; URIs and absolute paths stay as they are."""
        if self.folder is None or "://" in path:
            return path
        return os.path.normpath(self.folder / os.path.expanduser(path))


def _located(value: Any, located: Callable[[str], str]) -> Any:
    if isinstance(value, tuple):
        return tuple(_located(item, located) for item in value)
    return located(value) if isinstance(value, str) else value


def _kind(cls: type) -> str:
    return cls.kind() if issubclass(cls, Node) else cls.__name__
