"""A recipe as a whole: its text, its top level, overrides of the command line, and the graph it means."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.contract import Node
from pipeline.errors import RecipeError
from pipeline.graph import Graph, build
from pipeline.recipe.read import NAME, Change, Reader
from pipeline.recipe.rounds import unrolled
from pipeline.recipe.tree import Leaf, Mark, Table, compose, nearest, override, shown
from pipeline.recipe.vocabulary import Vocabulary

TOP = ("name", "store", "nodes", "repeat")
MOST_BYTES = 8 << 20  # of a recipe


@dataclass(frozen=True)
class Recipe:
    """What a recipe says: its named nodes in the order of the text, and in `marks` where each stands."""

    name: str
    store: str | None  # as it is written; `located_store` is where that is
    nodes: Mapping[str, Node]
    marks: Mapping[str, Mark]
    text: str
    located_store: str | None = None

    def targets(self, names: Sequence[str] = ()) -> list[Node]:
        """The named nodes, or all. Raises RecipeError for a name that is none."""
        for name in names:
            if name not in self.nodes:
                raise RecipeError(
                    f"node {name!r}",
                    f"no such node{nearest(name, iter(self.nodes))}",
                    f"one of {', '.join(self.nodes)}",
                )
        return [self.nodes[name] for name in names or self.nodes]

    def graph(self, names: Sequence[str] = ()) -> Graph:
        """The checked graph of the named nodes, or of all. What the graph refuses is named with its line."""
        try:
            return build(self.targets(names), self.nodes)
        except RecipeError as error:
            mark = self.marks.get(error.place.partition(".")[0])
            if mark is None:
                raise
            raise type(error)(f"{mark}: {error.place}", error.found, error.expected, error.then) from None


def load(
    path: str | Path,
    vocabulary: Vocabulary,
    overrides: Sequence[str] = (),
    everywhere: Mapping[str, Change] | None = None,
) -> Recipe:
    """Reads a recipe file; see `parse`."""
    text, folder = read_text(path), Path(path).absolute().parent
    return parse(text, vocabulary, overrides=overrides, everywhere=everywhere, source=str(path), folder=folder)


def read_text(path: str | Path) -> str:
    """The text of a YAML file. Raises RecipeError, also for one that never ends."""
    try:
        with open(path, "rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise RecipeError(str(path), f"more than {MOST_BYTES:,} bytes", "a recipe")
        return content.decode("utf-8")
    except FileNotFoundError:
        raise RecipeError(str(path), "no such file", "a recipe", "siftloom init PATH writes one") from None
    except UnicodeDecodeError as error:
        raise RecipeError(str(path), f"byte {error.object[error.start]:#04x} at {error.start}", "UTF-8 text") from None
    except OSError as error:
        raise RecipeError(str(path), error.strerror or str(error), "a recipe file") from None


def parse(
    text: str,
    vocabulary: Vocabulary,
    *,
    overrides: Sequence[str] = (),
    everywhere: Mapping[str, Change] | None = None,
    source: str = "recipe",
    folder: Path | None = None,
) -> Recipe:
    """A recipe from its text.

    `overrides` are `node.field=value` (deeper: `lost.model.rank=8`), checked like the text itself; `everywhere`
    changes the fields of every node of a kind before the node is constructed. Relative paths start at `folder`; None
    leaves them as they are. Raises RecipeError; further problems are its `__notes__`.
    """
    root = compose(text, source)
    if not isinstance(root, Table):
        raise RecipeError(str(root.mark), shown(root), "a mapping with `nodes:`")
    for change in overrides:
        root = _overridden(root, change, f"-s {change}")
    reader = Reader(vocabulary, folder, everywhere or {})
    for key, mark in root.keys.items():
        if key not in TOP:
            reader.note(mark, f"unknown key {key!r}{nearest(key, list(TOP))}", f"one of {', '.join(TOP)}")
    nodes = root.entries.get("nodes", Leaf(root.mark, None))
    if not isinstance(nodes, Table) or not nodes.entries:
        reader.note(nodes.mark, f"`nodes` is {shown(nodes)}", "a mapping from names to nodes")
        raise reader.error()
    rounds = unrolled(nodes, root.entries.get("repeat"), reader.note)
    if rounds is None:
        raise reader.error()
    found = reader.read(rounds)
    name = _text(reader, root, "name", re.sub(r"[^A-Za-z0-9_.-]+", "-", Path(source).stem).lstrip("_.-"))
    store = _text(reader, root, "store", None)
    if name and not NAME.fullmatch(name):
        reader.note(root.entries["name"].mark, f"the name {name!r}", "letters, digits, '_', '-' and '.'")
    if reader.problems:
        raise reader.error()
    located = reader.located(store) if store else None
    return Recipe(name or "run", store, found, dict(rounds.nodes.keys), text, located)


def _text(reader: Reader, root: Table, key: str, default: str | None) -> str | None:
    value = root.entries.get(key)
    if value is None:
        return default
    if not isinstance(value, Leaf) or not isinstance(value.value, str) or not value.value:
        reader.note(value.mark, f"`{key}` is {shown(value)}", "text (in quotes when it looks like a number)")
        return default
    return value.value


def _overridden(root: Table, text: str, source: str) -> Table:
    """The recipe with one value replaced: of a node, of a node of every round, or of `repeat` itself."""
    path, equals, value = (part.strip() for part in text.partition("="))
    rounds = root.entries.get("repeat")
    tables = {("nodes",): root.entries.get("nodes")}
    if isinstance(rounds, Table):
        tables |= {("repeat", "nodes"): rounds.entries.get("nodes"), (): Table(root.mark, {"repeat": rounds})}
    above, keys = ("nodes",), path.split(".")
    for start, table in tables.items():
        names = table.entries if isinstance(table, Table) else {}
        if dotted := max((name for name in names if path.startswith(f"{name}.")), key=len, default=""):
            above, keys = start, [dotted, *path[len(dotted) + 1 :].split(".")]
            break
    if not equals or len(keys) < 2 or not all(keys):
        raise RecipeError(source, "no override", "-s node.field=value")
    new = compose(value, source) if value else Leaf(Mark(source, 1, 1), None)
    return override(root, [*above, *keys], new, source)
