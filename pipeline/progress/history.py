"""How long the nodes of a run took before, and the time that is left of a whole graph.

The event logs of earlier runs of one name say how long each node took, and over how many rows. A node that waits is
expected to take as long as before, scaled by how many rows this run has against the earlier one. Nodes that share a
pass end together, so they count once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

from pipeline.files.objects import Store
from pipeline.results.events import read_events
from pipeline.results.run_record import run_names

RUNS = 3  # earlier runs of the name that are read, the newest ones


@dataclass(frozen=True)
class Took:
    """What a node took in an earlier run: seconds, and the rows that it was given."""

    seconds: float
    rows: int


def earlier(store: Store, name: str) -> dict[str, Took]:
    """Return node -> what it took in the newest run of this name (`first`, `first@2`, ...) that has finished it."""
    found: dict[str, Took] = {}
    for run in run_names(store, name.partition("@")[0])[-RUNS:]:
        began: dict[str, datetime] = {}
        for event in read_events(store, run):
            if event["event"] != "node":
                continue
            when = datetime.fromisoformat(event["time"])
            if event["state"] == "running":
                began.setdefault(event["node"], when)
            elif event["state"] == "done" and event["node"] in began:
                seconds = (when - began.pop(event["node"])).total_seconds()
                if seconds >= 0:  # else the clock was set back meanwhile
                    found[event["node"]] = Took(seconds, event["rows_in"])
    return found


def time_left(nodes: Iterable[Any], now: float, known: Mapping[str, Took]) -> tuple[float, bool] | None:
    """Return the seconds that are left, and whether they cover every node that has still to run; None if unknown.

    `nodes` are those of a board.
    """
    nodes = list(nodes)
    scale = _scale(nodes, known)
    running: list[float] = []
    waiting: dict[tuple[int, ...] | str, float] = {}
    whole = True
    for node in nodes:
        if node.state not in ("running", "waiting"):
            continue
        left, took = node.left(now), known.get(node.progress.name)
        expected = None if took is None else took.seconds * (scale if took.rows else 1.0)
        if node.state == "waiting" and expected is not None:
            group = node.passes or node.progress.name
            waiting[group] = max(waiting.get(group, 0.0), expected)
        elif left is not None:
            running.append(left)
        elif node.state == "running" and expected is not None:
            running.append(max(expected - node.seconds(now), 0.0))
        else:
            whole = False
    if not running and not waiting:
        return None
    return max(running, default=0.0) + sum(waiting.values()), whole


def _scale(nodes: Iterable[Any], known: Mapping[str, Took]) -> float:
    """Return how many times the rows of the earlier run this one has, by the nodes that are done."""
    ratios = [
        node.progress.rows_in / took.rows
        for node in nodes
        if node.state == "done" and (took := known.get(node.progress.name)) and took.rows and node.progress.rows_in
    ]
    return median(ratios) if ratios else 1.0
