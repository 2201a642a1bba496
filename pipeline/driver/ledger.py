"""What a driver knows of a graph in a store: identities, manifests, which tasks are done, what their receipts say.

All of it is read from the store. A receipt that a task has returned is noted here, so the driver does not read it.
Nothing here imports pyarrow or ray: `siftloom plan` needs only this module and `schedule.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.contract import Node, Phase, RowNode, RowPhase, ShardPhase
from pipeline.driver.identities import Identities
from pipeline.files.objects import Store
from pipeline.graph import Graph
from pipeline.results.binding import BaseShard, Binding, DocumentStream, Input, Link
from pipeline.results.manifests import Manifests, base_shards
from pipeline.results.receipts import Receipt, done_keys
from pipeline.results.seen_receipts import KnownReceipts


class Ledger(Identities):
    """Identities and progress of a graph's nodes in one store."""

    def __init__(self, graph: Graph, store: Store) -> None:
        super().__init__(graph, store)
        self.manifests, self.known = Manifests(store), KnownReceipts(store)
        self._done: dict[tuple[Node, str], set[str]] = {}
        self._shards: dict[Node, tuple[BaseShard, ...]] = {}
        self._keys: dict[Node, list[str]] = {}

    # progress --------------------------------------------------------------------------------------------------------

    def manifest(self, node: Node) -> dict[str, Any] | None:
        """The manifest of a finished node, None while it is not finished; looked for once, until `reopen`."""
        return None if self.fingerprint(node) is None else self.manifests.get(self.folder(node))

    def reopen(self, node: Node) -> None:
        """Forget what was read of a node's progress."""
        for read in (self.manifests, self.known):
            read.forget(self.folder(node))
        self._shards.pop(node, None)
        self._keys.clear()  # they hang on the shards of bases
        for key in [key for key in self._done if key[0] is node]:
            del self._done[key]

    def done(self, node: Node, phase: str) -> set[str]:
        """Keys of a phase that have a receipt."""
        if (node, phase) not in self._done:
            self._done[node, phase] = done_keys(self.store, self.folder(node), phase)
        return self._done[node, phase]

    def note(self, node: Node, receipt: Receipt) -> None:
        """Keep the receipt of a task that is done."""
        self.done(node, receipt.phase).add(receipt.key)
        self.known.note(self.folder(node), receipt)

    def receipts(self, node: Node, phase: str, keys: Sequence[str]) -> Iterator[Receipt]:
        """The receipts of these keys, in their order; those that do not exist are left out."""
        return self.known.get(self.folder(node), phase, keys)

    # rows ------------------------------------------------------------------------------------------------------------

    def base_shards(self, base: Node) -> tuple[BaseShard, ...]:
        """The shards of a finished base, in order."""
        if base not in self._shards:
            manifest = self.manifest(base)
            assert manifest is not None, f"{self.graph.names[base]} is not finished"
            sources = [source for group in self.sources(base).values() for source in group]
            self._shards[base] = base_shards(manifest, sources)
        return self._shards[base]

    def link(self, node: Node) -> Link:
        phase = self.graph.row_phase(node)
        assert phase is not None
        changes = isinstance(node, RowNode) and node.changes_text
        return Link(self.folder(node), phase.name, dict(node.adds()), changes)

    def stream(self, chains: dict[Node, tuple[Node, ...]]) -> DocumentStream:
        """A stream from a graph's chains."""
        return DocumentStream(
            shards=tuple(shard for base in chains for shard in self.base_shards(base)),
            chains={self.place(b).short: tuple(self.link(n) for n in chain) for b, chain in chains.items()},
            base_columns={self.place(b).short: self.graph.base_columns(b) for b in chains},
            folders={self.place(b).short: self.folder(b) for b in chains},
        )

    def input_shards(self, node: Node) -> list[BaseShard]:
        """The shards a node's row and shard phases run over."""
        return [shard for base in self.graph.input_chains(node) for shard in self.base_shards(base)]

    def shard_keys(self, node: Node) -> list[str]:
        """The keys of a node's row and shard phases. The driver asks many times a second."""
        if node not in self._keys:
            self._keys[node] = [base.shard.name for base in self.input_shards(node)]
        return self._keys[node]

    def has_done(self, node: Node, phase: str, keys: Sequence[str]) -> bool:
        """Whether every one of these keys has a receipt."""
        done = self.done(node, phase)
        return len(done) >= len(keys) and done.issuperset(keys)

    def binding(self, node: Node, own: dict[str, Sequence[str]], stop_name: str, cpus: int) -> Binding:
        """Return all that the node's tasks need; inputs must be finished, or (rows) be written in the same pass."""
        inputs: dict[str, list[Input]] = {}
        for field, _, parent in self.graph.inputs(node):
            chains = self.graph.chains(parent)
            manifest = self.manifest(parent)
            stream = self.stream(chains) if chains else None
            phases = manifest["phases"] if manifest else {}
            inputs.setdefault(field, []).append(Input(self.place(parent), stream, phases))
        chains = self.graph.input_chains(node)
        return Binding(
            store=self.store.address, place=self.place(node), inputs={k: tuple(v) for k, v in inputs.items()},
            stream=self.stream(chains) if chains else None, sources=self.sources(node), phases=own,
            stop_name=stop_name, cpus=cpus,
        )  # fmt: skip


def per_shard(phase: Phase) -> bool:
    return isinstance(phase, RowPhase | ShardPhase)
