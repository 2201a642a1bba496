"""What was trained: loss curves, of running trainings too, the tables of results, and what the models write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.report.curves import drawable
from pipeline.report.figures import problem
from pipeline.store.events import read_events
from siftloom.ui.shelf import Shelf

KINDS = ("pretrain", "compare", "evaluate", "generate")


def models(shelf: Shelf, asked: Mapping[str, str]) -> Any:
    """`figures` of finished nodes that train, compare or write text; `live`: the losses of those that still train."""
    run = shelf.run(asked["run"])
    figures, live = [], {}
    running = {view.label for view in run.nodes if not view.finished}
    for view in run.nodes:
        if view.finished and view.kind in KINDS:
            figures += [{**figure, "node": view.label} for figure in view.figures if not problem(figure)]
    for event in read_events(run.store, run.name):
        if event.get("node") in running and "loss" in event and "step" in event:
            live.setdefault(event["node"], {})[event["step"]] = event["loss"]
    series = [{"name": name, "points": sorted(points.items())} for name, points in live.items()]
    return {"figures": _joined(figures), "live": series, "finished": not running}


def _joined(figures: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Curves of one title over the same axes in one chart, as models are compared; other figures as they are."""
    together: dict[Any, dict[str, Any]] = {}
    for number, figure in enumerate(figures):
        lines = figure["kind"] == "lines"
        key = (figure["title"], figure["x"], figure["y"]) if lines else number
        first = together.get(key)
        if first and not {one["name"] for one in first["series"]} & {one["name"] for one in figure["series"]}:
            together[key] = {**first, "series": [*first["series"], *figure["series"]], "y_range": None}
        else:
            together[number if first else key] = figure
    return [
        {**drawable(figure)} if figure["kind"] == "lines" else figure  # type: ignore[arg-type]
        for figure in together.values()
    ]
