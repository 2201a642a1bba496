"""The list of runs, and one run: its graph, how far each node is, what happened last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pipeline.report import dag
from pipeline.report.collect import funnel, labels_in
from pipeline.report.data import NodeReport
from pipeline.results.events import read_events
from siftloom.ask.runs import all_runs, progress
from siftloom.ui.shelf import Shelf
from siftloom.ui.times import state_of, times

if TYPE_CHECKING:
    from pipeline.run import StoredNode
    from siftloom.run import Run

LATEST = 30  # events that are shown
SAID = ("driver", "failed", "finished")


def runs(shelf: Shelf, asked: Mapping[str, str]) -> Any:
    """Every run of the store, the newest first."""
    found = sorted(all_runs(shelf.store.address), key=lambda run: run["started"] or "", reverse=True)
    return {"store": str(shelf.store), "runs": [{**run, "report": bool(run["report"])} for run in found]}


def card(shelf: Shelf, asked: Mapping[str, str]) -> Any:
    """What the list says of one run: `state`, `began`, `seconds`, `failed`, `notices`, and `funnel`."""
    opened = shelf.run(asked["run"])
    told = progress(opened)
    events, state = list(read_events(opened.store, opened.name)), state_of(opened, told)
    return {
        "state": state, **times(events, state == "working"),
        "failed": [f"{one['node']} failed in {one['shard']}: {one['cause']}" for one in told["failed"]],
        "notices": len(_notices(events)), "funnel": _funnel(opened),
    }  # fmt: skip


def run(shelf: Shelf, asked: Mapping[str, str]) -> Any:
    """One run: `nodes` in the order of the graph's rows, `graph` for the drawing, `funnel`, and the last `events`."""
    opened = shelf.run(asked["run"])
    told = progress(opened)
    known = {node["node"]: node for node in told["nodes"]}
    events, state = list(read_events(opened.store, opened.name)), state_of(opened, told)
    live, took = _live(events), times(events, state == "working")
    plan = dag.layout([_node(opened, view, known[view.label], live) for view in opened.nodes])
    return {
        "run": opened.name,
        "finished": state == "finished",
        "state": state,
        "began": took["began"],
        "seconds": took["seconds"],
        "note": opened.record.get("note"),
        "notices": _notices(events),
        "recipe": opened.record.get("recipe") or "",
        "graph": {**dag.figure(plan), "actions": [_sign(known[node.label], live) for node in plan.nodes]},
        "nodes": [{**known[node.label], "inputs": node.inputs, "live": live.get(node.label, {}),
                   "seconds": took["nodes"].get(node.label),
                   "scores": _has_scores(opened[node.label])} for node in plan.nodes],
        "failed": told["failed"],
        "funnel": _funnel(opened),
        "events": [event for event in events if event["event"] in SAID][-LATEST:],
    }  # fmt: skip


def _funnel(run: Run) -> list[dict[str, Any]]:
    return [
        {"node": step.label, "documents": step.documents, "bytes": step.text_bytes, "tokens": step.became}
        for step in funnel(run)
    ]


def _notices(events: list[dict[str, Any]]) -> list[str]:
    """What the engine said beside the course of things, each once."""
    return list(dict.fromkeys(event["text"] for event in events if event["event"] == "notice"))


def _node(run: Run, view: StoredNode, told: Mapping[str, Any], live: Mapping[str, Any]) -> NodeReport:
    fields = run.record.get("form", {}).get(view.label, {}).get("fields", {})
    inputs = tuple(dict.fromkeys(labels_in(fields)))
    return NodeReport(label=view.label, kind=view.kind, fingerprint=view.fingerprint, action="run", inputs=inputs)


def _has_scores(view: StoredNode) -> bool:
    return view.finished and bool(view.manifest["row_phase"])


def _sign(told: Mapping[str, Any], live: Mapping[str, Any]) -> str:
    if told["state"] == "failed":
        return "failed"
    at = live.get(told["node"], {})
    return "run" if told["finished"] else "resume" if at.get("state") == "running" else "reuse"


def _live(events: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What the last driver last said of each node: its state, tasks, and the last step of a training."""
    found: dict[str, dict[str, Any]] = {}
    driver = events[-1]["driver"] if events else None
    for event in (event for event in events if event["driver"] == driver):
        if event["event"] == "node":
            found.setdefault(event["node"], {}).update(_values(event, ("state", "phase", "done", "total")))
        elif "node" in event and "step" in event:
            found.setdefault(event["node"], {}).update(_values(event, ("step", "steps", "loss")))
    return found


def _values(event: Mapping[str, Any], names: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    return ((name, event[name]) for name in names if name in event)
