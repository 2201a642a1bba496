"""Nodes to a checked graph: names, cycles, where rows come from, which columns a path carries.

Nothing here looks at data. A graph answers four questions for the engine: in which order nodes can be done, what a
node is called, which bases hold its rows, and which nodes before it have written columns beside those bases.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence

from pipeline.contract import Node, RowNode, RowPhase, ShardPhase
from pipeline.errors import GraphError
from pipeline.inputs import inputs_first, nodes_in

SPECIAL = ("_row",)  # columns that the engine makes


class Graph:
    """A checked graph. `nodes` are in topological order, `names` label them, `targets` are what was asked for."""

    def __init__(self, targets: Sequence[Node], names: Mapping[str, Node]) -> None:
        self.targets = list(targets)
        self.nodes = inputs_first(targets)
        self.names = _label(self.nodes, names)
        # filled in the order of the nodes, so that neither asks further back than an input
        self._chains: dict[int, dict[Node, tuple[Node, ...]]] = {}
        self._base_columns: dict[int, dict[str, str]] = {}
        self._inputs = {id(node): _inputs(node) for node in self.nodes}
        self._phases = {id(node): node.phases() for node in self.nodes}
        for node in self.nodes:
            node.check()
            self._check_columns(node)
            if node.new_base is not None:
                self.base_columns(node)

    def phases(self, node: Node):
        return self._phases[id(node)]

    def row_phase(self, node: Node) -> RowPhase | None:
        """The phase that writes columns beside the base, if the node has one."""
        return next((p for p in self.phases(node) if isinstance(p, RowPhase)), None)

    def inputs(self, node: Node) -> list[tuple[str, int, Node]]:
        """(field, position, node) of every input."""
        return self._inputs[id(node)]

    def stream_inputs(self, node: Node) -> list[Node]:
        """The inputs whose rows the node's row and shard phases run over."""
        return list(nodes_in(getattr(node, node.stream, None)))

    def chains(self, node: Node) -> dict[Node, tuple[Node, ...]]:
        """Base node -> the nodes with a row phase from that base to `node`, this one included, in order.

        Empty for a node that carries no rows (a model, a table).
        """
        if id(node) not in self._chains:
            self._chains[id(node)] = self._chain(node)
        return self._chains[id(node)]

    def input_chains(self, node: Node) -> dict[Node, tuple[Node, ...]]:
        """`chains` of the node's stream input: what its row and shard phases see."""
        merged: dict[Node, tuple[Node, ...]] = {}
        for parent in self.stream_inputs(node):
            for base, chain in self.chains(parent).items():
                merged[base] = self._join(node, base, merged.get(base), chain)
        return merged

    def _chain(self, node: Node) -> dict[Node, tuple[Node, ...]]:
        if node.new_base is not None:
            return {node: ()}
        inputs = self.input_chains(node)
        if self.row_phase(node) is None:
            # A node that only consumes rows passes none on, so nothing can be chained behind it by mistake.
            return {}
        return {base: (*chain, node) for base, chain in inputs.items()}

    def _join(self, node: Node, base: Node, one: tuple | None, other: tuple) -> tuple[Node, ...]:
        if one is None:
            return other
        short, long = sorted((one, other), key=len)
        if long[: len(short)] != short:
            raise GraphError(
                self.names[node],
                f"two branches over the same base {self.names[base]!r} as one input",
                "branches of one base in a chain, or bases that differ",
                "feed one branch into the other",
            )
        return long

    def providers(self, chain: Sequence[Node], base: Node) -> dict[str, Node]:
        """Column -> the node whose file holds it, seen from the end of a chain; `text` is the nearest changed one."""
        columns = {name: base for name in self.base_columns(base)}
        for node in chain:
            columns |= {name: node for name in node.adds()}
            if isinstance(node, RowNode) and node.changes_text:
                columns["text"] = node
        return columns

    def base_columns(self, base: Node) -> dict[str, str]:
        """Columns of a base's own files; a base derived from rows carries the columns of those rows along."""
        if id(base) not in self._base_columns:
            self._base_columns[id(base)] = self._columns_of(base)
        return self._base_columns[id(base)]

    def _columns_of(self, base: Node) -> dict[str, str]:
        columns = dict(base.adds())
        for parent_base, chain in self.input_chains(base).items() if base.carries and self.stream_inputs(base) else ():
            for node in (parent_base, *chain):
                columns = {**(self.base_columns(node) if node.new_base else node.adds()), **columns}
        return {"id": "string", "text": "string"} | columns

    def _check_columns(self, node: Node) -> None:
        shard_phases = [p for p in self.phases(node) if isinstance(p, RowPhase | ShardPhase)]
        if shard_phases and not self.stream_inputs(node):
            raise GraphError(self.names[node], f"no node in the field {node.stream!r}", "documents to run over")
        for parent in self.stream_inputs(node):
            if not self.chains(parent):
                raise GraphError(
                    f"{self.names[node]}.{node.stream}", f"{self.names[parent]!r}, which carries no rows",
                    "a node of documents",
                )  # fmt: skip
        for base, chain in self.input_chains(node).items():
            have = self.providers(chain, base)
            for name in node.adds() if node.new_base is None else ():
                if name in have:
                    raise GraphError(
                        self.names[node],
                        f"the column {name!r}, which {self.names[have[name]]!r} has added already",
                        "one column of a name on a path",
                        f"give it another name with `as:` in {self.names[node]}"
                        if hasattr(node, "as_")
                        else f"leave {self.names[node]} or {self.names[have[name]]} out of this path",
                    )
            for phase in shard_phases:
                for name in phase.needs:
                    if name not in have and name not in SPECIAL:
                        near = difflib.get_close_matches(name, have, n=1)
                        raise GraphError(
                            self.names[node],
                            f"no column {name!r} on the way from {self.names[base]!r}",
                            f"one of {', '.join(sorted(have))}" + (f" (did you mean {near[0]!r}?)" if near else ""),
                            f"put a node that adds {name!r} before it"
                            + (f", or {hint}" if (hint := base.column_hint(name)) else ""),
                        )

    def ancestors(self, node: Node) -> set[Node]:
        """Every node that `node` depends on."""
        found: set[Node] = set()
        todo = [node]
        while todo:
            for _, _, parent in self.inputs(todo.pop()):
                if parent not in found:
                    found.add(parent)
                    todo.append(parent)
        return found


def build(targets: Sequence[Node], names: Mapping[str, Node] | None = None) -> Graph:
    """A checked graph of everything that `targets` need. `names` labels nodes; the others are named by their kind."""
    return Graph(targets, names or {})


def _inputs(node: Node) -> list[tuple[str, int, Node]]:
    return [
        (field.name, i, value)
        for field in dataclasses.fields(node)
        for i, value in enumerate(nodes_in(getattr(node, field.name)))
    ]


def _label(nodes: Sequence[Node], names: Mapping[str, Node]) -> dict[Node, str]:
    present = set(nodes)
    labels = {node: name for name, node in names.items() if node in present}
    taken = set(names)
    for node in nodes:
        if node in labels:
            continue
        name, number = node.kind(), 1
        while name in taken:
            number += 1
            name = f"{node.kind()}_{number}"
        labels[node] = name
        taken.add(name)
    return labels
