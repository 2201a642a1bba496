"""Numbers of a run at the Prometheus endpoints of the cluster that it works on.

Ray's agent on each machine of a cluster serves what the processes there count (`ray start --metrics-export-port`). A
Ray that was started for one run has no such endpoint, so nothing is counted there. Ray puts `ray_` before each name.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from pipeline.ray_runtime.session import is_local

RUN = ("run", "node")
COUNTERS = {
    "siftloom_documents_in_total": "documents that a node was given",
    "siftloom_documents_kept_total": "documents that a node kept",
    "siftloom_bytes_written_total": "bytes of the files of a node's finished tasks",
    "siftloom_tasks_done_total": "finished tasks of a node",
    "siftloom_tasks_failed_total": "tasks of a node that failed for good",
    "siftloom_notices_total": "lines that the engine said beside the course of things",
}
GAUGES = {
    "siftloom_tasks": "tasks of a node that are known by now",
    "siftloom_loss": "loss of the last step, nats per token",
    "siftloom_step": "last step of a training",
    "siftloom_tokens_per_second": "tokens that a training learns from in a second",
}
NODES = "siftloom_nodes"  # of a run, by state


def joined() -> bool:
    """Return whether this process works on a Ray that it did not start."""
    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized() and not is_local()


class Metrics:
    """The counters and gauges of this process; Ray keeps one of each name."""

    def __init__(self) -> None:
        from ray.util.metrics import Counter, Gauge

        self._counters = {name: Counter(name, about, RUN) for name, about in COUNTERS.items()}
        self._gauges = {name: Gauge(name, about, RUN) for name, about in GAUGES.items()}
        self._nodes = Gauge(NODES, "nodes of a run, by state", ("run", "state"))
        self._told: dict[tuple[str, str, str], float] = {}

    def count(self, name: str, run: str, node: str, total: float) -> None:
        """Let a counter stand at `total`; Prometheus has no use for one that goes down."""
        key = (name, run, node)
        if (more := total - self._told.get(key, 0)) > 0:
            self._counters[name].inc(more, {"run": run, "node": node})
            self._told[key] = total

    def show(self, name: str, run: str, node: str, value: float) -> None:
        self._gauges[name].set(value, {"run": run, "node": node})

    def nodes(self, run: str, states: Mapping[str, int]) -> None:
        for state, number in states.items():
            self._nodes.set(number, {"run": run, "state": state})
