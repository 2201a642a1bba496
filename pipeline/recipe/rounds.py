"""`repeat`: nodes that a recipe names once and means several times, each round after the one before.

    repeat:
      times: 2
      carry: {teacher: {first: base, then: student}}
      nodes:
        pairs: {use: generate, model: teacher, docs: prompts}
        student: {use: pretrain, rows: pairs, start: base}

These are the nodes `pairs_1`, `student_1`, `pairs_2`, `student_2`. Within a round a name of `nodes` is that of the same
round, so no round can name one that comes later. A carried name is `first` in the first round, and `then` of the round
before in every other one; outside it is `then` of the last round, or `first` where `times` is 0. The engine knows no
loop: it is given the nodes that a recipe without `repeat` would have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from pipeline.recipe.tree import Items, Leaf, Table, Tree, nearest, shown

KEYS = ("times", "carry", "nodes")
MOST_TIMES = 1000
PAIR = "`{first: NODE, then: NODE}`"

Note = Callable[..., Exception]  # of a reader: (place, what was found, what was expected)


@dataclass(frozen=True)
class Unrolled:
    """All nodes of a recipe, those of its rounds among them, and what a name means in each.

    within  node of a round -> name -> the node that it means there
    after   the same for all other nodes
    """

    nodes: Table
    within: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    after: Mapping[str, str] = field(default_factory=dict)

    def meant(self, name: str, where: str | None) -> str:
        """Return the node that a name means in the tree of another node."""
        return self.within.get(where or "", self.after).get(name, name)


def unrolled(nodes: Table, repeat: Tree | None, note: Note) -> Unrolled | None:
    """Return the nodes of a recipe with those of its rounds. What is wrong is noted, and None returned."""
    if repeat is None:
        return Unrolled(nodes)
    found = _read(nodes, repeat, note)
    if found is None:
        return None
    times, inner, carried = found
    entries, keys, within = dict(nodes.entries), dict(nodes.keys), {}
    for number in range(1, times + 1):
        meaning = {name: f"{name}_{number}" for name in inner.entries}
        meaning |= {name: f"{then}_{number - 1}" if number > 1 else first for name, (first, then) in carried.items()}
        for name, tree in inner.entries.items():
            entries[meaning[name]], keys[meaning[name]] = _copied(tree), inner.keys[name]
            within[meaning[name]] = meaning
    after = {name: f"{then}_{times}" if times else first for name, (first, then) in carried.items()}
    return Unrolled(replace(nodes, entries=entries, keys=keys), within, after)


def _read(nodes: Table, repeat: Tree, note: Note) -> tuple[int, Table, dict[str, tuple[str, str]]] | None:
    """Return times, the nodes of a round, and carried name -> (first, then)."""
    if not isinstance(repeat, Table):
        note(repeat.mark, f"`repeat` is {shown(repeat)}", "a mapping with `times` and `nodes`")
        return None
    problems = [
        note(mark, f"unknown key {key!r} of `repeat`{nearest(key, KEYS)}", f"one of {', '.join(KEYS)}")
        for key, mark in repeat.keys.items()
        if key not in KEYS
    ]
    nothing = Leaf(repeat.mark, None)
    times, inner = repeat.entries.get("times", nothing), repeat.entries.get("nodes", nothing)
    number = times.value if isinstance(times, Leaf) else None
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= MOST_TIMES:
        problems.append(note(times.mark, f"`times` is {shown(times)}", f"a whole number from 0 to {MOST_TIMES}"))
        number = 0
    if not isinstance(inner, Table) or not inner.entries:
        note(inner.mark, f"`nodes` of `repeat` is {shown(inner)}", "a mapping from names to nodes")
        return None
    for name, mark in inner.keys.items():
        taken = [each for each in (name, *(f"{name}_{r}" for r in range(1, number + 1))) if each in nodes.entries]
        if taken:
            found = f"{name!r} of `repeat`, and a node {taken[0]!r} beside it"
            problems.append(note(mark, found, "names that no other node has, with _1, _2, ... behind them or without"))
    carried = _carried(nodes, inner, repeat.entries.get("carry", Table(repeat.mark)), note)
    return None if problems or carried is None else (number, inner, carried)


def _carried(nodes: Table, inner: Table, carry: Tree, note: Note) -> dict[str, tuple[str, str]] | None:
    """Return carried name -> (first, then); None where something is wrong."""
    if not isinstance(carry, Table):
        note(carry.mark, f"`carry` is {shown(carry)}", f"a mapping from names to {PAIR}")
        return None
    found, fine = {}, True
    for name, tree in carry.entries.items():
        if not isinstance(tree, Table) or set(tree.entries) != {"first", "then"}:
            note(tree.mark, f"{name!r} is {shown(tree)}", PAIR)
            fine = False
            continue
        if name in nodes.entries or name in inner.entries:
            note(carry.keys[name], f"{name!r} is a node too", "a name of its own for what is carried")
            fine = False
        first = _node(tree.entries["first"], nodes, f"`first` of {name!r}", "before the rounds", note)
        then = _node(tree.entries["then"], inner, f"`then` of {name!r}", "of a round", note)
        if first is None or then is None:
            fine = False
        else:
            found[name] = (first, then)
    return found if fine else None


def _node(tree: Tree, among: Table, place: str, kind: str, note: Note) -> str | None:
    name = tree.value if isinstance(tree, Leaf) else None
    if isinstance(name, str) and name in among.entries:
        return name
    hint = nearest(str(name), list(among.entries))
    note(tree.mark, f"{place} is {shown(tree)}, which is no node {kind}{hint}", "the name of a node")
    return None


def _copied(tree: Tree) -> Tree:
    """Return a tree of its own: the reader makes one node of one tree, and each round has its own inline nodes."""
    if isinstance(tree, Leaf):
        return replace(tree)
    if isinstance(tree, Items):
        return replace(tree, items=tuple(_copied(item) for item in tree.items))
    return replace(tree, entries={key: _copied(value) for key, value in tree.entries.items()})
