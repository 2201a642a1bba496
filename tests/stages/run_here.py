"""A small graph, done in this process by the engine's own code, one task after the other and without Ray."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contract import Node, TaskPhase
from pipeline.driver.actions import Actions
from pipeline.driver.commit import finish
from pipeline.driver.fanout import pass_work
from pipeline.driver.keys import PhaseKeys
from pipeline.driver.ledger import Ledger
from pipeline.driver.prepare import digest_sources
from pipeline.files.objects import LocalStore
from pipeline.graph import build
from pipeline.results.lease import Leases
from pipeline.worker.passes import run_shard
from pipeline.worker.tasks import run_task


class Here:
    """A graph whose nodes are finished."""

    def __init__(self, target: Node, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root, self.target, self.store = root, target, LocalStore(str(root))
        self.state = Ledger(build([target]), self.store)
        digest_sources(self.state, lambda: None)
        keys = PhaseKeys(self.state, lambda node: self.state.manifest(node) is not None)
        self.actions = Actions(self.state, keys.of, keys.context)
        leases = Leases(self.store)
        for node in self.state.graph.nodes:
            if self.state.manifest(node) is None:
                done = {phase.name: self._do(keys, node, phase) for phase in self.state.graph.phases(node)}
                leases.acquire(self.state.folder(node))
                finish(self.state, node, done, leases, "")
                leases.release(self.state.folder(node))
        leases.close()

    def _do(self, keys: PhaseKeys, node: Node, phase) -> list[str]:
        found = keys.of(node, phase)
        if isinstance(phase, TaskPhase):
            for key in found:
                self.state.note(node, run_task(keys.binding(node), phase.name, key))
            return found
        phases, works = pass_work(self.state, [(node, phase)], keys.binding, self.actions.scores)
        for work in works:
            for outcome in run_shard(str(self.root), phases, work):
                if outcome.error is not None:
                    raise outcome.error
                self.state.note(node, outcome.receipt)
        return found

    def files(self, phase: str) -> dict[str, str]:
        """Name -> SHA-256 of what the target's phase has written; names of shards without their base."""
        folder = self.root / self.state.folder(self.target) / "data" / phase
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        own = self.state.place(self.target).short
        return {
            path.relative_to(folder).as_posix().replace(own, "base"): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in paths
        }

    def columns(self) -> pa.Table:
        """The added columns and texts of the target's row phase, of all shards."""
        folder = self.root / self.state.folder(self.target) / "data" / self.state.link(self.target).phase
        return pa.concat_tables([pq.read_table(path) for path in sorted(folder.glob("*.parquet"))])
