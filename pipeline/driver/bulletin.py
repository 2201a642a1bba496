"""What a driver tells of its walk: to the watcher as it happens, and at the end which failure came first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.contract import Node
from pipeline.errors import NodeFailed
from pipeline.store.receipts import Receipt

if TYPE_CHECKING:
    from pipeline.driver.progress import Watcher


@dataclass(frozen=True)
class Failure:
    """One task that failed."""

    node: str
    key: str
    error: BaseException
    trace: str = ""


@dataclass
class Tally:
    """What the progress table shows of one node."""

    done: int = 0
    total: int = 0
    rows_in: int = 0
    rows_kept: int = 0
    bytes: int = 0
    memory: int = 0


class Bulletin:
    """Tallies per node and the failures so far; called from the driver's thread and from those of its jobs."""

    def __init__(self, names: Mapping[Node, str], watcher: Watcher | None) -> None:
        self.names, self.watcher = names, watcher
        self.failures: list[Failure] = []
        self._tallies: dict[Node, Tally] = {}

    def begin(self, node: Node, tasks: int) -> None:
        """Some tasks of a node begin."""
        tally = self._tallies.setdefault(node, Tally())
        tally.total += tasks
        self.show(node, "running")

    def done(self, node: Node, receipt: Receipt, memory: int) -> None:
        """A task has its receipt; `memory` is the peak of its worker, bytes."""
        tally = self._tallies[node]
        tally.done += 1
        tally.rows_in += receipt.counts.get("alive_in", 0)
        tally.rows_kept += receipt.counts.get("alive_out", 0)
        tally.bytes += sum(entry["size"] for entry in receipt.files.values())
        tally.memory = max(tally.memory, memory)
        self.show(node, "running", receipt.phase)

    def failed(self, node: Node, key: str, error: BaseException, trace: str = "") -> None:
        """A task has failed."""
        self.failures.append(Failure(self.names[node], key, error, trace))
        self.tell("failed", self.names[node], key, error)

    def event(self, node: Node, kind: str, values: Mapping[str, Any]) -> None:
        """Something that a task says of itself."""
        self.tell("event", self.names[node], kind, values)

    def show(self, node: Node, state: str, phase: str = "") -> None:
        """Where a node stands."""
        tally = self._tallies.get(node, Tally())
        self.tell(
            "node", self.names[node], state, phase, tally.done, tally.total, tally.rows_in, tally.rows_kept,
            tally.bytes, tally.memory,
        )  # fmt: skip

    def tell(self, what: str, *values: Any) -> None:
        if self.watcher is not None:
            getattr(self.watcher, what)(*values)

    def first_failure(self, run: str) -> NodeFailed:
        """The error that a run with failures ends in: its first cause, and how many tasks failed."""
        first = self.failures[0]
        tasks = {(failure.node, failure.key) for failure in self.failures}
        more = f" ({len(tasks)} tasks failed; siftloom status {run} lists them)" if len(tasks) > 1 else ""
        error = NodeFailed(f"{first.node}, {first.key}: {first.error}{more}")
        error.__cause__ = first.error
        return error
