"""Which tasks each phase consists of, asked once the phase may know, and what is bound for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline.contract import Node, Phase, TaskPhase
from pipeline.driver.ledger import Ledger, per_shard
from pipeline.driver.schedule import Key
from pipeline.errors import DataError
from pipeline.results.binding import Binding
from pipeline.worker.context import TaskContext


@dataclass
class PhaseKeys:
    """The keys of phases, remembered. `cpus` and `stop_name` go into every binding."""

    state: Ledger
    finished: Callable[[Node], bool]
    stop_name: str = ""
    cpus: int = 1
    _known: dict[Key, list[str]] = field(default_factory=dict)

    def of(self, node: Node, phase: Phase) -> list[str]:
        """Return the keys of a phase whose inputs and earlier phases are done. Whatever the stage raises comes out."""
        if not isinstance(phase, TaskPhase):
            return self.state.shard_keys(node)
        if (node, phase.name) not in self._known:
            context = TaskContext(self.binding(node), phase.name, "keys")
            self._known[node, phase.name] = _checked([str(key) for key in phase.keys(context)], node, phase)
        return self._known[node, phase.name]

    def known(self, node: Node, phase: Phase) -> list[str] | None:
        """Return the keys of a phase, or None while what they depend on is not finished."""
        graph = self.state.graph
        above = graph.input_chains(node) if per_shard(phase) else [parent for _, _, parent in graph.inputs(node)]
        return self.of(node, phase) if all(self.finished(parent) for parent in above) else None

    def binding(self, node: Node) -> Binding:
        """Return what a task of the node may read, with the node's own phases that are done."""
        own = {}
        for phase in self.state.graph.phases(node):
            keys = self._known.get((node, phase.name))
            if per_shard(phase) and all(self.finished(base) for base in self.state.graph.input_chains(node)):
                keys = self.state.shard_keys(node)
            if keys is None or not self.state.has_done(node, phase.name, keys):
                break
            own[phase.name] = keys
        return self.state.binding(node, own, self.stop_name, self.cpus)

    def context(self, node: Node) -> TaskContext:
        """Return what the driver may ask of a node before its next phase runs."""
        return TaskContext(self.binding(node), "keys", "keys")

    def forget(self, node: Node) -> None:
        """Ask the phases of a node for their keys again, because their inputs are being rebuilt."""
        for key in [key for key in self._known if key[0] is node]:
            del self._known[key]


def _checked(keys: list[str], node: Node, phase: Phase) -> list[str]:
    """The keys. Raises DataError for two equal ones, and for one that is no name of a file."""
    counts = Counter(keys)
    odd = [key for key in counts if counts[key] > 1 or not key or "/" in key or key.startswith(".")]
    if odd:
        raise DataError(f"{node.kind()}.{phase.name}", f"the key {odd[0]!r}", "different names of files as keys")
    return keys
