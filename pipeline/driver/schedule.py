"""Which phases can be done now.

One rule set for the plan, which plays it through without running anything, and for the driver, which plays it for real:

* a keyed task phase is ready when the node's inputs are finished and its earlier phases are done;
* a per-shard phase joins the pass when its earlier phases are done, its other inputs are finished, its bases are laid
  down, and the row phase just before it is done or joins the same pass;
* a phase with `own_pass` is a pass by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from pipeline.contract import Node, Phase, RowPhase, ShardPhase, TaskPhase
from pipeline.graph import Graph

Key = tuple[Node, str]


class Schedule:
    """Readiness over a graph, given what is done."""

    def __init__(self, graph: Graph, phase_done: Callable[[Node, str], bool], finished: Callable[[Node], bool]) -> None:
        self.graph, self._phase_done, self._finished = graph, phase_done, finished

    def next_phase(self, node: Node) -> Phase | None:
        """The first phase of a node that is not done."""
        return next((p for p in self.graph.phases(node) if not self._phase_done(node, p.name)), None)

    def ready_tasks(self, busy: Collection[Key] = ()) -> list[tuple[Node, TaskPhase]]:
        found = []
        for node in self.graph.nodes:
            phase = None if self._finished(node) else self.next_phase(node)
            if isinstance(phase, TaskPhase) and (node, phase.name) not in busy and self._inputs_finished(node):
                found.append((node, phase))
        return found

    def ready_to_finish(self) -> list[Node]:
        """Nodes with all phases done whose inputs are finished, so that they can be committed."""
        return [
            node
            for node in self.graph.nodes
            if not self._finished(node) and self.next_phase(node) is None and self._inputs_finished(node)
        ]

    def ready_pass(self, busy: Collection[Key] = ()) -> list[tuple[Node, RowPhase | ShardPhase]]:
        """The phases of the next pass, in an order in which each follows the ones it builds on."""
        joined: list[tuple[Node, RowPhase | ShardPhase]] = []
        nodes: set[Node] = set()
        for node in self.graph.nodes:
            phase = None if self._finished(node) else self.next_phase(node)
            if not isinstance(phase, RowPhase | ShardPhase) or (node, phase.name) in busy:
                continue
            if not self._may_join(node, nodes):
                continue
            if phase.own_pass:
                if joined:
                    continue
                return [(node, phase)]
            joined.append((node, phase))
            if self.graph.row_phase(node) is phase:
                nodes.add(node)
        return joined

    def _may_join(self, node: Node, in_pass: Collection[Node]) -> bool:
        rows = set(self.graph.stream_inputs(node))
        if not all(self._finished(parent) for _, _, parent in self.graph.inputs(node) if parent not in rows):
            return False
        for base, chain in self.graph.input_chains(node).items():
            if not self._finished(base):
                return False
            if chain and not (chain[-1] in in_pass or self._rows_done(chain)):
                return False
            if chain and chain[-1] in in_pass and not self._columns_at_hand(node, chain, in_pass):
                return False
        return True

    def _rows_done(self, chain: tuple[Node, ...]) -> bool:
        return all(self._finished(node) or self.next_phase(node) is None for node in chain)

    def _columns_at_hand(self, node: Node, chain: tuple[Node, ...], in_pass: Collection[Node]) -> bool:
        """Return whether every link of the chain is in this pass, from the first one that is in it on."""
        first = next((i for i, link in enumerate(chain) if link in in_pass), len(chain))
        return all(link in in_pass for link in chain[first:])

    def _inputs_finished(self, node: Node) -> bool:
        return all(self._finished(parent) for _, _, parent in self.graph.inputs(node))
