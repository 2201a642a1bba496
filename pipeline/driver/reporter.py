"""The driver's account of its walk: progress per node, and which tasks failed. Only the walk's own thread uses it."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipeline.contract import Node
from pipeline.driver.jobs import Begun, Done, Ended, Failed, Logged, Message, Told
from pipeline.errors import NodeFailed
from pipeline.files.refusals import named
from pipeline.files.secrets import masked, masked_error
from pipeline.progress.watcher import Event, NodeProgress, Notice, State, TaskEvent, TaskFailed, Watcher
from pipeline.results.receipts import Receipt


@dataclass(frozen=True)
class Failure:
    """One task that failed."""

    node: str
    key: str
    error: BaseException


class Reporter:
    """Adds up what tasks report and notifies the watcher."""

    def __init__(self, names: Mapping[Node, str], watcher: Watcher | None, store: str = "") -> None:
        self.names, self.watcher, self._store = names, watcher, store
        self.failures: list[Failure] = []
        self.failed_nodes: set[Node] = set()
        self._progress: dict[Node, NodeProgress] = {}

    def receive(self, message: Message) -> None:
        """Report what a job says."""
        match message:
            case Begun():
                self.begin(message.node, message.tasks)
            case Done():
                self.done(message.node, message.receipt, message.memory)
            case Failed():
                self.failed(message.node, message.key, message.error, message.trace)
            case Logged():
                self.event(message.node, message.kind, message.values)
            case Told():
                self.notify(Notice(message.text))
            case Ended() if message.error is not None:
                trace = "".join(traceback.format_exception(message.error))
                for node, phase in message.job.keys:
                    self.failed(node, phase, message.error, trace)

    def begin(self, node: Node, tasks: int) -> None:
        """Some tasks of a node begin."""
        self.show(node, "running", total=self._of(node).total + tasks)

    def done(self, node: Node, receipt: Receipt, memory: int) -> None:
        """A task has its receipt; `memory` is the peak of its worker in bytes."""
        at = self._of(node)
        self.show(
            node, "running", phase=receipt.phase, done=at.done + 1,
            rows_in=at.rows_in + receipt.counts.get("alive_in", 0),
            rows_kept=at.rows_kept + receipt.counts.get("alive_out", 0),
            bytes=at.bytes + sum(entry["size"] for entry in receipt.files.values()),
            memory=max(at.memory, memory),
        )  # fmt: skip

    def failed(self, node: Node, key: str, error: BaseException, trace: str = "") -> None:
        """A task has failed."""
        error = masked_error(error)
        if found := named(error, self._store):
            found.__cause__, error = error, found
        self.failed_nodes.add(node)
        self.failures.append(Failure(self.names[node], key, error))
        self.notify(TaskFailed(self.names[node], key, error, masked(trace)))

    def event(self, node: Node, kind: str, values: Mapping[str, Any]) -> None:
        """A task reports something; its node knows which values are shown to people, and how. A `notice` among them is
        a line by itself.
        """
        if notice := values.get("notice"):
            self.notify(Notice(f"{self.names[node]}: {notice}"))
        formats = node.progress_formats.items()
        shown = [_shown(name, how, value) for name, how in formats if (value := values.get(name)) is not None]
        if "step" in values:
            shown.insert(0, f"step {values['step']}" + (f"/{values['steps']}" if "steps" in values else ""))
        self.notify(TaskEvent(self.names[node], kind, values, ", ".join(shown)))

    def show(self, node: Node, state: State, **changed: Any) -> None:
        """Report where a node stands."""
        self._progress[node] = replace(self._of(node), state=state, **changed)
        self.notify(self._progress[node])

    def notify(self, event: Event) -> None:
        if self.watcher is not None:
            self.watcher.notify(event)

    def first_failure(self, run: str) -> NodeFailed:
        """Return the error that a run with failures ends in: the first cause, and how many tasks failed."""
        first = self.failures[0]
        tasks = {(failure.node, failure.key) for failure in self.failures}
        more = f" ({len(tasks)} tasks failed; siftloom status {run} lists them)" if len(tasks) > 1 else ""
        error = NodeFailed(f"{first.node}, {first.key}: {first.error}{more}")
        error.__cause__ = first.error
        return error

    def _of(self, node: Node) -> NodeProgress:
        return self._progress.setdefault(node, NodeProgress(self.names[node]))


def _shown(name: str, how: str, value: Any) -> str:
    try:
        return how.format(value)
    except (TypeError, ValueError):  # a text where a number was meant ends no run
        return f"{name} {value}"
