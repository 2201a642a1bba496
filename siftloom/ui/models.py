"""What was trained: loss curves, of running trainings too, the tables of results, and what the models write."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from pipeline.report.curves import drawable
from pipeline.report.figures import problem
from pipeline.results.events import read_events
from siftloom.ui.shelf import Shelf

if TYPE_CHECKING:
    from pipeline.run import StoredNode, StoredRun

KINDS = ("pretrain", "compare", "evaluate", "generate")


def models(shelf: Shelf, asked: Mapping[str, str]) -> Any:
    """`figures` of finished nodes that train, compare or write text; `live`: the losses of those that still train."""
    run = shelf.run(asked["run"])
    figures, live = [], {}
    running = {view.label for view in run.nodes if not view.finished}
    for view in run.nodes:
        if view.finished and view.kind in KINDS:
            figures += [_named(view, figure) for figure in view.figures if not problem(figure)]
    for event in read_events(run.store, run.name):
        if event.get("node") in running and "loss" in event and "step" in event:
            live.setdefault(event["node"], {})[event["step"]] = event["loss"]
    series = [{"name": name, "points": sorted(points.items())} for name, points in live.items()]
    return {"figures": joined(figures), "live": series, "finished": not running}


def losses(run: StoredRun, shared: Collection[str] = ()) -> list[dict[str, Any]]:
    """The loss curves of a run's finished trainings, each named after its run and its node; `shared` are fingerprints
    of nodes that another run has too.
    """
    found = []
    for view in run.nodes:
        owner = "both" if view.fingerprint in shared else run.name
        for each in view.figures if view.finished and view.kind == "pretrain" else ():
            if not problem(each) and each["kind"] == "lines" and each.get("smooth"):
                figure = _named(view, each)
                series = [{**one, "name": f"{owner}: {one['name']}"} for one in figure["series"]]
                found.append({**figure, "series": series})
    return found


def _named(view: StoredNode, figure: Mapping[str, Any]) -> dict[str, Any]:
    """A figure under its node's name; the curves of a training too, which calls them after its model."""
    found = {**figure, "node": view.label}
    if view.kind != "pretrain" or figure["kind"] != "lines":
        return found
    alone = len(figure["series"]) == 1
    series = [{**one, "name": view.label if alone else f"{view.label}: {one['name']}"} for one in figure["series"]]
    return {**found, "series": series, "section": figure.get("section") or "training"}


def joined(figures: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Curves of one title over the same axes in one chart, each name once; other figures as they are."""
    together: dict[Any, dict[str, Any]] = {}
    for number, figure in enumerate(figures):
        if figure["kind"] != "lines":
            together[number] = figure
            continue
        first = together.setdefault((figure["title"], figure["x"], figure["y"]), {**figure, "series": []})
        known = {one["name"] for one in first["series"]}
        first["series"] = [*first["series"], *(one for one in figure["series"] if one["name"] not in known)]
        first["y_range"] = figure.get("y_range") if not known else None
    return [dict(drawable(f)) if f["kind"] == "lines" else f for f in together.values()]  # type: ignore[arg-type]
