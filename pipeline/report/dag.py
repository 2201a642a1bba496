"""The graph of a run, a node a row: the layers of a layered drawing with one node in each, and lanes between.

Every node's output runs down in a lane of its own, from the node's row to the last node that reads it; a node goes on
in the lane of the first input that ends there. So a chain is one straight line, a line belongs to one output, and a
long graph stays as narrow as the number of outputs that are awaited at once. (Version control draws history so.)
The words beside the drawing are the page's rows; the page's script draws each node in the middle of its row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.report.data import NodeReport

LANE, SIDE = 18, 13  # pixels between two lanes, and beside them


@dataclass(frozen=True)
class Layout:
    """Nodes from top to bottom with each one's lane; `edges` are (from row, to row, position among the inputs)."""

    nodes: tuple[NodeReport, ...]
    lanes: tuple[int, ...]
    edges: tuple[tuple[int, int, int], ...]

    @property
    def width(self) -> int:
        return 2 * SIDE + LANE * max(self.lanes, default=0)


def layout(nodes: Sequence[NodeReport]) -> Layout:
    """Lay the graph out: inputs above their readers, sources just above the first of these, in few lanes."""
    ordered = _ordered(nodes)
    row_of = {node.label: row for row, node in enumerate(ordered)}
    inputs = [[row_of[label] for label in node.inputs if label in row_of] for node in ordered]
    edges = tuple((up, row, i) for row, ups in enumerate(inputs) for i, up in enumerate(ups))
    last_read = {up: row for up, row, _ in edges}
    taken: dict[int, int] = {}  # lane -> row of the node whose output is in it
    lanes: list[int] = []
    for row, ups in enumerate(inputs):
        ending = {lane for lane, up in taken.items() if last_read[up] == row}
        inherited = [lanes[up] for up in ups if lanes[up] in ending]
        free = [lane for lane in range(len(taken) + 1) if lane not in taken or lane in ending]
        home = lanes[ups[0]] if ups else 0
        lane = inherited[0] if inherited else min(free, key=lambda lane: (abs(lane - home), -lane))
        lanes.append(lane)
        taken = {other: up for other, up in taken.items() if other not in ending}
        if row in last_read:
            taken[lane] = row
    return Layout(tuple(ordered), tuple(lanes), edges)


def figure(plan: Layout) -> dict[str, Any]:
    """The layout as the page's script draws it."""
    return {
        "kind": "graph", "lanes": plan.lanes, "edges": plan.edges, "lane": LANE, "side": SIDE, "width": plan.width,
        "names": [node.label for node in plan.nodes], "actions": [node.action for node in plan.nodes],
    }  # fmt: skip


def sentence(plan: Layout) -> str:
    """The graph in words: how many nodes, and what each reads."""
    actions = [node.action for node in plan.nodes]
    counted = ", ".join(
        f"{actions.count(action)} {words}"
        for action, words in (("run", "run"), ("resume", "resumed"), ("reuse", "reused"))
        if action in actions
    )
    shown = "; ".join(f"{node.label} from {' and '.join(node.inputs)}" for node in plan.nodes if node.inputs)
    return f"Graph of {len(plan.nodes)} nodes ({counted}): {shown}"


def _ordered(nodes: Sequence[NodeReport]) -> list[NodeReport]:
    """Depth first from the nodes that nobody reads, in the order given: every input before its reader."""
    by_label = {node.label: node for node in nodes}
    read = {label for node in nodes for label in node.inputs}
    ordered: dict[str, NodeReport] = {}
    for sink in [node for node in nodes if node.label not in read]:
        stack = [(sink, iter(sink.inputs))]
        while stack:
            node, rest = stack[-1]
            following = next((label for label in rest if label in by_label and label not in ordered), None)
            if following is not None:
                stack.append((by_label[following], iter(by_label[following].inputs)))
            else:
                ordered.setdefault(node.label, node)
                stack.pop()
    return list(ordered.values())
