"""The graph of a run, drawn a node a row: the layers of a layered drawing with one node in each, and lanes between.

Every node's output runs down in a lane of its own, from the node's row to the last node that reads it; a node goes on
in the lane of the first input that ends there. So a chain is one straight line, a line belongs to one output, and a
long graph stays as narrow as the number of outputs that are awaited at once. (Version control draws history so.)
The words beside the drawing are the page's rows, which must be `ROW` units high.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pipeline.report.data import NodeReport
from pipeline.report.plot import drawing, element, join

ROW, LANE, SIDE, DOT = 44, 18, 13, 6.5


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
    """Inputs above their readers; sources just above their first reader, lanes as few as this order allows."""
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


def draw(plan: Layout) -> Markup:
    """Lines first, those of a node's other inputs thin and under the rest, then the nodes."""
    parts = []
    for up, row, position in sorted(plan.edges, key=lambda edge: (-edge[2], edge[0])):
        kind = "edge" if position == 0 else "edge side"
        parts.append(element("path", class_=kind, d=_path(plan, up, row)))
    parts += [_node(node, *_at(plan, row)) for row, node in enumerate(plan.nodes)]
    actions = [node.action for node in plan.nodes]
    counted = ", ".join(
        f"{actions.count(action)} {words}"
        for action, words in (("run", "run"), ("resume", "resumed"), ("reuse", "reused"))
        if action in actions
    )
    shown = "; ".join(f"{node.label} from {' and '.join(node.inputs)}" for node in plan.nodes if node.inputs)
    label = f"Graph of {len(plan.nodes)} nodes ({counted}): {shown}"
    return drawing(plan.width, ROW * len(plan.nodes), join(parts), label)


def sign(action: str) -> Markup:
    """A node's sign alone, for the legend."""
    return element(
        "svg",
        _sign(action, 8, 8),
        class_="sign",
        viewBox="0 0 16 16",
        width=16,
        height=16,
        aria_hidden="true",
    )


def _node(node: NodeReport, x: float, y: float) -> Markup:
    return element("g", element("title", f"{node.label}: {node.action}"), _sign(node.action, x, y))


def _sign(action: str, x: float, y: float) -> Markup:
    """Full for run, half for resume, hollow for reuse: distinct without colour."""
    parts = [element("circle", class_=f"node {action}", cx=x, cy=y, r=DOT)]
    if action == "resume":
        half = f"M {x:g} {y - DOT:g} A {DOT} {DOT} 0 0 0 {x:g} {y + DOT:g} Z"
        parts.append(element("path", class_="half", d=half))
    return join(parts)


def _at(plan: Layout, row: int) -> tuple[float, float]:
    return SIDE + LANE * plan.lanes[row], ROW * (row + 0.5)


def _path(plan: Layout, up: int, row: int) -> str:
    """Down the lane of the upper node, then over to the lower one between the last two rows."""
    (x1, y1), (x2, y2) = _at(plan, up), _at(plan, row)
    if x1 == x2:
        return f"M {x1:g} {y1:g} V {y2:g}"
    bend, pull = y2 - ROW, ROW * 0.55
    return f"M {x1:g} {y1:g} V {bend:g} C {x1:g} {bend + pull:g} {x2:g} {y2 - pull:g} {x2:g} {y2:g}"


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
