"""The result of a finished run: the funnel, the tables of its last nodes, and its outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.quantities import number, size
from siftloom.screen import say, table

if TYPE_CHECKING:
    from pipeline.run import StoredNode, StoredRun


def result(run: StoredRun) -> dict[str, Any]:
    """Return `funnel`, `tables` and `outputs` of a finished run, for `--json`."""
    from pipeline.report.collect import funnel

    steps = [
        {"node": step.label, "documents": step.documents, "bytes": step.text_bytes, "tokens": step.tokens}
        for step in funnel(run)
    ]
    return {"funnel": steps, "tables": highlighted(run), "outputs": outputs(run)}


def show(found: dict[str, Any]) -> None:
    """Print the result of a run."""
    if found["funnel"]:
        rows = [
            (step["node"], *("" if step[key] is None else how(step[key]) for key, how in COLUMNS.items()))
            for step in found["funnel"]
        ]
        tokens = any(step["tokens"] for step in found["funnel"])
        say()
        table(("after", "documents", "text", "tokens")[: 4 if tokens else 3],
              [row[: 4 if tokens else 3] for row in rows], right=(1, 2, 3))  # fmt: skip
    for one in found["tables"]:
        say(f"\n{one['title']}")
        units = one.get("units") or [None] * len(one["columns"])
        rows = [[_cell(cell, unit) for cell, unit in zip(row, units, strict=True)] for row in one["rows"]]
        table(one["columns"], rows, right=range(1, len(one["columns"])))


COLUMNS = {"documents": number, "bytes": size, "tokens": number}


def highlighted(run: StoredRun) -> list[dict[str, Any]]:
    """Return the tables of the run's last nodes that a node marks as its result."""
    return [
        figure for view in last_nodes(run) for figure in view.figures
        if figure.get("kind") == "table" and isinstance(figure.get("highlight"), int)
    ]  # fmt: skip


def outputs(run: StoredRun) -> dict[str, str]:
    """Return label -> where its files are, for the finished nodes that no other node of the run reads."""
    return {view.label: _place(run, view) for view in last_nodes(run) if view.manifest["bytes"]}


def last_nodes(run: StoredRun) -> list[StoredNode]:
    """Return the finished nodes that no other node of the run reads."""
    finished = [view for view in run.nodes if view.finished]
    read = {parent for view in finished for parents in view.manifest["inputs"].values() for parent in parents}
    return [view for view in finished if view.fingerprint not in read]


def _place(run: StoredRun, view: StoredNode) -> str:
    fields = {**run.record.get("form", {}).get(view.label, {}).get("fields", {}), **view.manifest.get("fields", {})}
    if isinstance(fields.get("to"), str) and fields["to"]:
        return fields["to"]
    phase = list(view.manifest["phases"])[-1]
    return run.store.uri(f"{view.folder}/data/{phase}")


def _cell(value: Any, unit: str | None) -> str:
    if value is None:
        return ""
    if unit == "bytes":
        return size(value)
    return number(value) + (f" {unit}" if unit and unit != "percent" and not isinstance(value, str) else "")
