"""The engine's own code, run in this process, one task after the other and without Ray."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.contract import Node, RowPhase, ShardPhase, TaskPhase
from pipeline.driver.commit import finish
from pipeline.driver.fanout import pass_work
from pipeline.driver.ledger import Ledger
from pipeline.files.objects import LocalStore
from pipeline.graph import build
from pipeline.results.binding import Binding
from pipeline.results.lease import Leases
from pipeline.worker.passes import run_shard
from pipeline.worker.tasks import run_task


class Engine:
    """A graph in a store on a file system."""

    def __init__(self, root: Path, target: Node) -> None:
        self.store = LocalStore(str(root))
        self.graph = build([target])
        self.state = Ledger(self.graph, self.store)
        self.leases = Leases(self.store)

    def lay_down(self, base: Node) -> list[Path]:
        """Run a base of one phase; the files that it wrote."""
        (phase,) = base.phases()
        assert isinstance(phase, TaskPhase)
        keys = list(phase.keys(None))  # type: ignore[arg-type]
        for key in keys:
            run_task(self.binding(base), phase.name, key)
        self.finish(base, {phase.name: keys})
        return sorted(Path(self.store.root, self.state.folder(base), "data").rglob("*.parquet"))

    def run(self, nodes: Sequence[Node]) -> int:
        """One pass of these nodes over all shards; bytes written."""
        joined = [(node, node.phases()[0]) for node in nodes]
        assert all(isinstance(phase, RowPhase | ShardPhase) for _, phase in joined)
        phases, works = pass_work(self.state, joined, self.binding)
        written = 0
        for work in works:
            for outcome in run_shard(self.store.root, phases, work):
                if outcome.error is not None:
                    raise outcome.error
                written += sum(entry["size"] for entry in outcome.receipt.files.values())
                self.state.note(joined[outcome.index][0], outcome.receipt)
        for node, phase in joined:
            self.finish(node, {phase.name: self.state.shard_keys(node)})
        return written

    def binding(self, node: Node) -> Binding:
        return self.state.binding(node, {}, "", 1)

    def finish(self, node: Node, keys: dict[str, list[str]]) -> None:
        """Commit a node whose tasks have their receipts."""
        self.leases.acquire(self.state.folder(node))
        finish(self.state, node, keys, self.leases, "")
        self.leases.release(self.state.folder(node))

    def kept(self, node: Node) -> int:
        """Rows that stay after a node."""
        return sum(counts.get("alive_out", 0) for counts in self.state.manifest(node)["counts"].values())
