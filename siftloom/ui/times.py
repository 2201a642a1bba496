"""When a run worked and for how long, from its event log; and whether a driver works on it now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipeline.results.lease import holder_of

if TYPE_CHECKING:
    from pipeline.run import StoredRun


def times(events: Iterable[Mapping[str, Any]], working: bool) -> dict[str, Any]:
    """Return `began`, `seconds` of all drivers together, and `nodes`: the seconds of each node that was done last.

    A driver that was killed has worked until its last event at least. One that works now does so until now.
    """
    first: dict[str, datetime] = {}
    last: dict[str, datetime] = {}
    running: dict[tuple[str, str], datetime] = {}
    nodes: dict[str, float] = {}
    for event in events:
        when, driver = datetime.fromisoformat(event["time"]), event["driver"]
        first.setdefault(driver, when)
        last[driver] = when
        if event["event"] == "node" and event["state"] == "running":
            running.setdefault((driver, event["node"]), when)
        elif event["event"] == "node" and event["state"] == "done" and (driver, event["node"]) in running:
            nodes[event["node"]] = (when - running.pop((driver, event["node"]))).total_seconds()
    if working and last:
        last[max(last)] = datetime.now(UTC)
    return {
        "began": min(first.values()).isoformat() if first else None,
        "seconds": sum((last[driver] - first[driver]).total_seconds() for driver in first),
        "nodes": nodes,
    }


def state_of(run: StoredRun, told: Mapping[str, Any]) -> str:
    """Return `finished`, `working`, `failed` or `stopped`; `told` is what `siftloom.ask.runs.progress` returns."""
    if all(node["finished"] for node in told["nodes"]):
        return "finished"
    if any(holder_of(run.store, view.folder) for view in run.nodes if not view.finished):
        return "working"
    return "failed" if told["failed"] else "stopped"
