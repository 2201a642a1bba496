"""What a watcher remembers of every node: its last progress, when it began and ended, what its task reported last."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.progress.history import Took, time_left
from pipeline.progress.watcher import Event, NodeProgress, Started, TaskEvent, TaskFailed
from pipeline.quantities import duration, size


@dataclass
class NodeStatus:
    """One node; times are seconds of a monotonic clock."""

    progress: NodeProgress
    began: float | None = None
    ended: float | None = None
    values: dict[str, Any] = field(default_factory=dict)  # of the last task event
    text: str = ""  # of the last task event
    first_step: tuple[int, float] | None = None
    cause: str = ""
    passes: tuple[int, ...] = ()  # of the plan; nodes of one pass end together

    @property
    def state(self) -> str:
        return self.progress.state

    def seconds(self, now: float) -> float:
        return 0.0 if self.began is None else (self.ended or now) - self.began

    def rate(self, now: float) -> float | None:
        """Return the rows per second, or None before there are any."""
        seconds = self.seconds(now)
        return self.progress.rows_in / seconds if self.progress.rows_in and seconds > 0 else None

    def left(self, now: float) -> float | None:
        """Return the seconds to go if the rest takes as long as what is done, or None where that cannot be known."""
        if self.state != "running":
            return None
        if self.first_step is not None:
            step, steps = self.values["step"], self.values.get("steps", 0)
            first, when = self.first_step
            return (now - when) * (steps - step) / (step - first) if first < step < steps else None
        done, total = self.progress.done, self.progress.total
        return self.seconds(now) * (total - done) / done if 0 < done < total else None


class Board:
    """The status of all nodes, kept by a watcher under one lock."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.lock, self.clock = threading.RLock(), clock
        self.nodes: dict[str, NodeStatus] = {}
        self.earlier: Mapping[str, Took] = {}

    def left(self, now: float) -> str:
        """Return the time that is left of the whole graph in words, empty where nothing is known."""
        found = time_left(self.nodes.values(), now, self.earlier)
        if found is None:
            return ""
        seconds, whole = found
        return f"{'about' if whole else 'at least'} {duration(seconds)} left"

    def notify(self, event: Event) -> bool:
        """Take an event in. Return whether it is news: False for the second failure of one node and later ones."""
        with self.lock:
            match event:
                case Started():
                    for entry in event.plan.entries:
                        state = "reused" if entry.action == "reuse" else "waiting"
                        status = NodeStatus(NodeProgress(entry.name, state), passes=tuple(entry.passes))
                        self.nodes.setdefault(entry.name, status)
                    self.earlier = event.earlier
                case NodeProgress():
                    self._progress(event)
                case TaskEvent():
                    self._event(event)
                case TaskFailed():
                    return self._failed(event)
            return True

    def _status(self, name: str) -> NodeStatus:
        return self.nodes.setdefault(name, NodeStatus(NodeProgress(name)))

    def _progress(self, progress: NodeProgress) -> None:
        node, now = self._status(progress.name), self.clock()
        if node.began is None and progress.state == "running":
            node.began = now
        if progress.state in ("done", "failed") and node.ended is None:
            node.ended = now
        if not progress.phase:  # the driver names a phase only while tasks of it come in
            progress = replace(progress, phase=node.progress.phase)
        node.progress = progress

    def _event(self, event: TaskEvent) -> None:
        node = self._status(event.name)
        node.values.update(event.values)
        node.text = event.text or node.text
        if node.first_step is None and "step" in event.values:
            node.first_step = (event.values["step"], self.clock())

    def _failed(self, event: TaskFailed) -> bool:
        node = self._status(event.name)
        first = node.state != "failed"
        self._progress(replace(node.progress, state="failed"))
        if first:
            node.cause = f"{event.key}: {event.cause}"
        return first


def line(node: NodeStatus, now: float) -> str:
    """Return one node in one line, without what is not known."""
    at = node.progress
    parts = [f"{at.name}: {at.state}"]
    if at.total:
        parts.append(f"{at.done}/{at.total}" + (f" {at.phase}" if at.phase else ""))
    if at.rows_in:
        parts.append(f"{at.rows_kept:,} of {at.rows_in:,} rows kept")
    if (rate := node.rate(now)) is not None:
        parts.append(f"{rate:,.0f} rows/s")
    if node.text and at.state == "running":
        parts.append(node.text)
    if at.memory:
        parts.append(size(at.memory))
    if (left := node.left(now)) is not None:
        parts.append(f"{duration(left)} left")
    if at.state == "done":
        parts.append(duration(node.seconds(now)))
    return ", ".join(parts)
