"""The runs of a store: which one an argument means, how far each is, and how to forget one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import UserError
from pipeline.files.address import Address
from siftloom.screen import find_store, note

if TYPE_CHECKING:
    from siftloom.run import Run


def find_run(text: str, store: str | None) -> tuple[Address, str]:
    """Return (store, name) of a run given by its recipe, by its folder in a store, or by its name.

    A name is looked for in `--store`, else in `$SIFTLOOM_STORE`, else in `runs`.
    """
    path = Path(text)
    if path.suffix in (".yaml", ".yml"):
        from pipeline.recipe import load
        from siftloom.vocabulary import vocabulary

        recipe = load(path, vocabulary())
        return find_store(store, recipe.located_store, recipe.store), recipe.name
    if store is None and (path / "run.json").is_file():
        folder = path.absolute()
        return Address(str(folder.parent.parent)), folder.name
    return find_store(store), text


def open_found(text: str, store: str | None, newest: bool = False) -> Run:
    """Open the run that an argument means. A name that several runs have is that of the last finished one, or with
    `newest` of the last one; it is said which that is.
    """
    from siftloom.run import open_run

    place, name = find_run(text, store)
    last = open_run(place, name)
    if "@" in name:
        return last
    run = last if newest or _is_finished(last) else next(_finished_before(last, name), last)
    if run is not last:
        note(f"note: this is {run.name}, the last finished run of {name}; {last.name} is not finished")
    elif run.name != name:
        note(f"note: this is {run.name}, the {'newest' if newest else 'last finished'} run of {name}")
    return run


def open_two(one: str, other: str, store: str | None) -> tuple[Run, Run]:
    """Open two runs to compare. Beside `first@2`, `first` is the run that `siftloom runs` lists as that."""
    for name, numbered in ((one, other), (other, one)):
        base, at, number = numbered.partition("@")
        if at and number != "1" and name == base:
            note(f"note: {name} is its first run here, {name}@1")
            one, other = (f"{each}@1" if each == name else each for each in (one, other))
    return open_found(one, store), open_found(other, store)


def _is_finished(run: Run) -> bool:
    return all(view.finished for view in run.nodes)


def _finished_before(last: Run, name: str) -> Iterator[Run]:
    """Yield the finished runs of a name before its last one, the newest first."""
    from siftloom.run import open_run

    number = int(last.name.rpartition("@")[2]) if "@" in last.name else 1
    labels = set(last.store.names("runs"))
    for before in range(number - 1, 0, -1):
        if (f"{name}@{before}" if before > 1 else name) in labels:
            run = open_run(last.store.address, f"{name}@{before}")
            if _is_finished(run):
                yield run


def progress(run: Run) -> dict[str, Any]:
    """Return per node its `state`, tasks `done` by phase and `rows` in and kept, and what the last driver failed in."""
    from pipeline.results.events import read_events

    failed: list[dict[str, Any]] = []
    driver = None
    for event in read_events(run.store, run.name):
        if event["driver"] != driver:
            driver, failed = event["driver"], []
        if event["event"] == "failed":
            failed.append({key: event[key] for key in ("node", "shard", "cause")})
    bad = {failure["node"] for failure in failed}
    nodes = []
    for view in run.nodes:
        node = view.progress()
        node["state"] = "done" if view.finished else "failed" if view.label in bad else "not done"
        node["rows"] = _rows(view) if view.finished else None
        nodes.append(node)
    return {"run": run.name, "nodes": nodes, "failed": failed}


def _rows(view: Any) -> list[int] | None:
    phase = view.manifest["row_phase"]
    counts = view.counts[phase] if phase else None
    return [counts["alive_in"], counts["alive_out"]] if counts else None


def all_runs(store: str | Address) -> list[dict[str, Any]]:
    """Return every run of a store: `run`, `nodes`, `finished` (how many), `started` (the last driver), `report`, and
    the user's `note`.

    Raises StoreError for a damaged record.
    """
    from pipeline.files.open_store import open_store
    from pipeline.results.run_record import read_run

    opened = open_store(store)
    found = []
    for name in opened.names("runs"):
        record = read_run(opened, name)
        if record is None:
            continue
        nodes = record["nodes"].values()
        drivers = opened.names(f"runs/{name}/events")
        page = f"runs/{name}/report.html"
        found.append(
            {
                "run": name,
                "nodes": len(nodes),
                "finished": sum(opened.size(f"{node['folder']}/manifest.json") is not None for node in nodes),
                "started": _when(drivers[-1]) if drivers else None,
                "report": opened.uri(page) if opened.size(page) is not None else None,
                "note": record.get("note"),
            }
        )
    return found


def forget(store: str | Address, name: str) -> None:
    """Remove the record, events and report of a run; its results stay until `clean`. Raises UserError if none."""
    from pipeline.files.open_store import open_store

    opened = open_store(store)
    if opened.size(f"runs/{name}/run.json") is None:
        known = ", ".join(run["run"] for run in all_runs(store)) or "(none there)"
        raise UserError(f"store {opened}", f"no run called {name!r}", f"one of {known}", "siftloom runs")
    for file in sorted(opened.sizes(f"runs/{name}"), key=lambda file: file != "run.json"):
        opened.delete(f"runs/{name}/{file}")
    opened.delete(f"runs/{name}")


def _when(segment: str) -> str:
    """Return the time in the name of an event segment, `20260801T101500.123-host-pid.jsonl`, to the minute."""
    day, _, clock = segment.partition("T")
    return f"{day[:4]}-{day[4:6]}-{day[6:8]} {clock[:2]}:{clock[2:4]} UTC"
