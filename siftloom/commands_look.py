"""`status`, `report`, `why`, `removed`: what is going on in a run, and what has become of its documents."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from siftloom.commands_run import JSON, STORE
from siftloom.screen import say, say_json, table

RUN = Annotated[str, typer.Argument(help="a run's name, its folder, or its recipe", metavar="RUN")]
FOLLOW_SECONDS = 2.0
SHORT = 160  # characters of a text that is shown


def status(
    run: RUN,
    store: STORE = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="print again until it is finished")] = False,
    as_json: JSON = False,
) -> None:
    """Say where a run is: per node its state and tasks, and what has failed."""
    from siftloom.run import open_run
    from siftloom.runs import find_run

    place, name = find_run(run, store)
    while True:
        opened = open_run(place, name)
        told = opened.status() | {"failed": _failures(opened)}
        if as_json:
            say_json(told)
        else:
            _show(told)
        if not follow or all(node["finished"] for node in told["nodes"]):
            return
        time.sleep(FOLLOW_SECONDS)


def _failures(run: Any) -> list[dict[str, Any]]:
    """What the last driver could not do."""
    from pipeline.store.events import read_events

    failed: list[dict[str, Any]] = []
    driver = None
    for event in read_events(run.store, run.name):
        if event["driver"] != driver:
            driver, failed = event["driver"], []
        if event["event"] == "failed":
            failed.append({key: event[key] for key in ("node", "shard", "cause")})
    return failed


def _show(told: dict[str, Any]) -> None:
    bad = {failure["node"] for failure in told["failed"]}
    rows = []
    for node in told["nodes"]:
        word = "done" if node["finished"] else "failed" if node["node"] in bad else "not done"
        rows.append((node["node"], node["kind"], word, ", ".join(f"{k} {v}" for k, v in node["done"].items())))
    table(("node", "kind", "state", "tasks done"), rows)
    for failure in told["failed"]:
        say(f"{failure['node']}: failed in {failure['shard']}: {failure['cause']}")


def report(run: RUN, store: STORE = None, as_json: JSON = False) -> None:
    """Write the report, one HTML page, and print its path."""
    from siftloom.run import open_run
    from siftloom.runs import find_run

    page = str(open_run(*find_run(run, store)).report())
    say_json({"report": page}) if as_json else say(page)


def why(
    run: RUN,
    document: Annotated[str, typer.Argument(help="a document's id, or your own id of it", metavar="ID")],
    store: STORE = None,
    as_json: JSON = False,
) -> None:
    """One document's way: every node, score and reason, its copies, and the steps that trained on it."""
    from siftloom.run import open_run
    from siftloom.runs import find_run
    from siftloom.way import way

    steps = way(open_run(*find_run(run, store)), document)
    if as_json:
        say_json({"id": document, "steps": steps})
        return
    table(("node", "kind", "state", "why"), [(s["node"], s["kind"], s["state"], _because(s)) for s in steps])


def _because(step: dict[str, Any]) -> str:
    from pipeline.quantities import number

    parts = []
    if "reason" in step:
        limit = "" if step["threshold"] is None else f" against {number(step['threshold'])}"
        parts.append(step["reason"] + ("" if step["value"] is None else f": {number(step['value'])}{limit}"))
    parts += [f"{key} {number(value)}" for key, value in step.get("columns", {}).items() if value is not None]
    for key in ("copies", "rows", "steps"):
        if step.get(key):
            shown = ", ".join(map(str, step[key][:8])) + (" ..." if len(step[key]) > 8 else "")
            parts.append(f"{key} {shown}")
    return ", ".join(parts)


def removed(
    run: RUN,
    node: Annotated[str, typer.Argument(help="the node that removed them", metavar="NODE")],
    store: STORE = None,
    reason: Annotated[str | None, typer.Option(help="only this reason")] = None,
    count: Annotated[int, typer.Option("-n", help="documents of each reason", min=0)] = 5,
    as_json: JSON = False,
) -> None:
    """What a node removed: counts and a few documents of each reason."""
    from siftloom.run import open_run
    from siftloom.runs import find_run
    from siftloom.samples import samples

    found = samples(open_run(*find_run(run, store))[node], count, reason)
    if as_json:
        say_json({"node": node, "reasons": found})
        return
    for entry in found:
        say(f"{entry['reason']}: {entry['count']:,}")
        for row in entry["documents"]:
            limit = "" if row["value"] is None else f"  {row['value']:.4g} against {row['threshold']}"
            copy = "" if row["duplicate_of"] is None else f"  copy of {row['duplicate_of']}"
            text = " ".join(row["text"].split())
            say(f"  {row['id']}{limit}{copy}\n    {text[:SHORT]}{'...' if len(text) > SHORT else ''}")
