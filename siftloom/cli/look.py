"""`status`, `runs`, `report`, `why`, `removed`: the state of a run, and the fate of its documents."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from siftloom.cli import complete
from siftloom.cli.run import JSON, STORE
from siftloom.screen import begin, confirm, find_store, say, say_json, table

RUN = Annotated[
    str,
    typer.Argument(help="the name of a run, its folder, or its recipe", metavar="RUN", autocompletion=complete.runs),
]
FOLLOW_SECONDS = 2.0
SHORT = 160  # characters of a text that is shown


def status(
    run: RUN,
    store: STORE = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="print again until the run is finished")] = False,
    as_json: JSON = False,
) -> None:
    """Show the state of a run: each node, its tasks, and its failures."""
    begin(f"reading the state of {run}", as_json=as_json)
    from siftloom.ask.runs import open_found, progress
    from siftloom.run import open_run

    opened = open_found(run, store, newest=True)
    while True:
        found = progress(open_run(opened.store.address, opened.name))
        if as_json:
            say_json(found)
        else:
            _show(found)
        if not follow or all(node["finished"] for node in found["nodes"]):
            return
        time.sleep(FOLLOW_SECONDS)


def _show(found: dict[str, Any]) -> None:
    rows = []
    for node in found["nodes"]:
        tasks = ", ".join(f"{phase} {done}" for phase, done in node["done"].items())
        kept = "" if node["rows"] is None else f"{node['rows'][1]:,} of {node['rows'][0]:,}"
        rows.append((node["node"], node["kind"], node["state"], kept, tasks))
    table(("node", "kind", "state", "rows kept", "tasks done"), rows)
    for failure in found["failed"]:
        say(f"{failure['node']}: failed in {failure['shard']}: {failure['cause']}")
    ready = sum(node["finished"] for node in found["nodes"])
    say(f"{found['run']}: {ready} of {len(found['nodes'])} nodes are finished")


def runs(
    store: STORE = None,
    remove: Annotated[
        str | None,
        typer.Option(help="forget this run; `clean` then removes its results", autocompletion=complete.stored_runs),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask")] = False,
    as_json: JSON = False,
) -> None:
    """List the runs of a store, or remove one."""
    from siftloom.ask.runs import all_runs, forget

    place = find_store(store)
    if remove is not None:
        if not yes and not confirm(f"remove the run {remove} from {place}?"):
            raise typer.Exit(1)
        forget(place, remove)
        say_json({"removed": remove}) if as_json else say(f"removed {remove}; siftloom clean removes its results")
        return
    found = all_runs(place)
    if as_json:
        say_json({"store": str(place), "runs": found})
        return
    noted = any(r["note"] for r in found)
    rows = [
        (r["run"], f"{r['finished']} of {r['nodes']}", r["started"], *((r["note"],) if noted else ())) for r in found
    ]
    table(("run", "nodes finished", "last started", *(("note",) if noted else ())), rows)
    # a line for each path: a column would break it where the terminal ends, and a broken path opens nothing
    for one in found:
        if one["report"] is not None:
            say(str(one["report"]))
    if not found:
        say(f"{place} has no runs")


def report(
    run: RUN,
    to: Annotated[Path | None, typer.Option(help="write it to this file, not into the store")] = None,
    store: STORE = None,
    as_json: JSON = False,
) -> None:
    """Write the report, one HTML page, and print its path."""
    begin(f"drawing the report of {run}", as_json=as_json)
    from pipeline.errors import StoreError
    from siftloom.ask.runs import open_found

    opened = open_found(run, store)
    try:
        page = str(opened.report(to=to))
    except StoreError as error:
        if to is None:
            error.add_note("the report is all that this command writes: --to FILE puts it elsewhere")
        raise
    say_json({"report": page}) if as_json else say(page)


def why(
    run: RUN,
    document: Annotated[
        str | None, typer.Argument(help="the id of a document, or your own id of it", metavar="[ID]")
    ] = None,
    text: Annotated[str | None, typer.Option(help="find the document by a piece of its text")] = None,
    store: STORE = None,
    as_json: JSON = False,
) -> None:
    """Trace one document through every node: scores, reasons, copies, and the steps that trained on it."""
    begin(f"looking for the document in {run}", as_json=as_json)
    from pipeline.errors import UserError
    from siftloom.ask.runs import open_found
    from siftloom.ask.samples import with_text
    from siftloom.ask.why import trace

    opened = open_found(run, store)
    if text is not None:
        found = with_text(opened, text)
        if len(found) != 1:
            raise UserError(
                f"run {opened.name}",
                f"{len(found)} documents with this text: {', '.join(found)}",
                "a piece of one document",
            )
        document = found[0]
    if document is None:
        raise UserError("why", "neither an id nor a text", "an id, or --text and a piece of its text")
    steps = trace(opened, document)
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
    for key, value in step.items():
        if key in ("node", "kind", "state", "reason", "value", "threshold", "columns") or value in (None, [], ()):
            continue
        values = value if isinstance(value, list | tuple) else [value]
        parts.append(f"{key} {', '.join(map(str, values[:8]))}" + (" ..." if len(values) > 8 else ""))
    return ", ".join(parts)


def removed(
    run: RUN,
    node: Annotated[
        str, typer.Argument(help="the node that removed them", metavar="NODE", autocompletion=complete.nodes)
    ],
    store: STORE = None,
    reason: Annotated[str | None, typer.Option(help="only this reason")] = None,
    count: Annotated[int, typer.Option("-n", help="documents of each reason", min=0)] = 5,
    to: Annotated[
        str | None, typer.Option(help="write what went on the way up to this node, row by row", metavar="X.parquet")
    ] = None,
    as_json: JSON = False,
) -> None:
    """Show what a node removed: counts, and a few documents of each reason."""
    begin(f"reading what {node} removed in {run}", as_json=as_json)
    from siftloom.ask.runs import open_found
    from siftloom.ask.samples import samples, write_ledger

    view = open_found(run, store)[node]
    if to is not None:
        rows = write_ledger(view, to, reason)
        say_json({"node": node, "ledger": to, "rows": rows}) if as_json else say(f"{rows:,} removed documents: {to}")
        return
    found = samples(view, count, reason)
    if as_json:
        say_json({"node": node, "reasons": found})
        return
    if not found:
        say(f"{node} removed no document")
    for entry in found:
        say(f"{entry['reason']}: {entry['count']:,}")
        for row in entry["documents"]:
            limit = "" if row["value"] is None else f"  {row['value']:.4g} against {row['threshold']}"
            copy = "" if row["duplicate_of"] is None else f"  copy of {row['duplicate_of']}"
            say(f"  {row['id']}{limit}{copy}\n    {shortened(row['text'])}")


def shortened(text: str) -> str:
    """Return the beginning of a text on one line."""
    line = " ".join(text.split())
    return line if len(line) <= SHORT else line[:SHORT] + "..."
