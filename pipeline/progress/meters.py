"""The watcher that shows a run in Prometheus while it works on a cluster (`pipeline.ray_runtime.metrics`)."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from typing import TYPE_CHECKING

from pipeline.progress.watcher import Event, NodeProgress, Notice, Started, TaskEvent, TaskFailed

if TYPE_CHECKING:
    from pipeline.ray_runtime.metrics import Metrics

STATES = ("reused", "waiting", "running", "done", "failed")
TRAINING = {"loss": "siftloom_loss", "step": "siftloom_step", "tokens_per_second": "siftloom_tokens_per_second"}


class Meters:
    """Counts from the start, and shows it from the moment at which the driver has joined a cluster."""

    def __init__(self) -> None:
        self._run = ""
        self._nodes: dict[str, NodeProgress] = {}
        self._failed: Counter[str] = Counter()
        self._notices = 0
        self._metrics: Metrics | None = None
        self._lock = threading.Lock()

    def notify(self, event: Event) -> None:
        with self._lock:
            match event:
                case Started():
                    self._run = getattr(event.plan, "name", "")
                    self._nodes = {entry.name: NodeProgress(entry.name) for entry in event.plan.entries}
                case NodeProgress():
                    self._nodes[event.name] = event
                case TaskFailed():
                    self._failed[event.name] += 1
                case Notice():
                    self._notices += 1
            # No number is worth a run: where Ray cannot count, the run goes on without.
            with contextlib.suppress(Exception):
                if self._run and (metrics := self._open()):
                    self._show(metrics, event)

    def close(self) -> None:
        """Ray ends what it counts with this process."""

    def _open(self) -> Metrics | None:
        if self._metrics is None:
            from pipeline.ray_runtime.metrics import Metrics, joined

            if not joined():
                return None
            self._metrics = Metrics()
            for progress in self._nodes.values():
                self._show_node(self._metrics, progress)
        return self._metrics

    def _show(self, metrics: Metrics, event: Event) -> None:
        match event:
            case NodeProgress():
                self._show_node(metrics, event)
            case TaskEvent():
                for name, meter in TRAINING.items():
                    if isinstance(value := event.values.get(name), int | float):
                        metrics.show(meter, self._run, event.name, value)
            case TaskFailed():
                metrics.count("siftloom_tasks_failed_total", self._run, event.name, self._failed[event.name])
            case Notice():
                metrics.count("siftloom_notices_total", self._run, "", self._notices)

    def _show_node(self, metrics: Metrics, progress: NodeProgress) -> None:
        for name, total in (
            ("siftloom_documents_in_total", progress.rows_in), ("siftloom_documents_kept_total", progress.rows_kept),
            ("siftloom_bytes_written_total", progress.bytes), ("siftloom_tasks_done_total", progress.done),
        ):  # fmt: skip
            metrics.count(name, self._run, progress.name, total)
        metrics.show("siftloom_tasks", self._run, progress.name, progress.total)
        states = Counter(each.state for each in self._nodes.values())
        metrics.nodes(self._run, {state: states[state] for state in STATES})
