"""The result of a finished run: the funnel, the tables of its last nodes, and its outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.quantities import number, size
from siftloom.screen import say, table

if TYPE_CHECKING:
    from pipeline.run import StoredNode, StoredRun


def result(run: StoredRun) -> dict[str, Any]:
    """Return `funnel`, `rejected`, `tables` and `outputs` of a finished run, for `--json`."""
    from pipeline.report.collect import funnel

    steps = [
        {"node": step.label, "documents": step.documents, "bytes": step.text_bytes, "tokens": step.became}
        for step in funnel(run)
    ]
    for step, before in zip(steps, [{}, *steps], strict=False):
        # no node has read this text yet: the text before it, as its share of the documents
        text = before.get("bytes") or before.get("bytes_about")
        known = step["bytes"] is not None or not text or not before["documents"]
        step["bytes_about"] = None if known else text * step["documents"] // before["documents"]
    return {"funnel": steps, "rejected": rejected(run), "tables": highlighted(run), "outputs": outputs(run)}


def show(found: dict[str, Any]) -> None:
    """Print the result of a run."""
    if found["funnel"]:
        rows = [
            (
                step["node"],
                number("" if step["documents"] is None else step["documents"]),
                _text(step),
                number(step["tokens"] or ""),
            )
            for step in found["funnel"]
        ]
        tokens = any(step["tokens"] for step in found["funnel"])
        say()
        table(("after", "documents", "text", "tokens")[: 4 if tokens else 3],
              [row[: 4 if tokens else 3] for row in rows], right=(1, 2, 3))  # fmt: skip
    for node, reasons in found["rejected"].items():
        say(f"{node} rejected {number(sum(reasons.values()))} rows: {_counts(reasons)}")
    for one in found["tables"]:
        say(f"\n{one['title']}")
        units = one.get("units") or [None] * len(one["columns"])
        rows = [[_cell(cell, unit) for cell, unit in zip(row, units, strict=True)] for row in one["rows"]]
        table(one["columns"], rows, right=range(1, len(one["columns"])))


def _text(step: dict[str, Any]) -> str:
    if step["bytes"] is None:
        return "" if step["bytes_about"] is None else f"about {size(step['bytes_about'])}"
    return size(step["bytes"])


def _counts(reasons: dict[str, int]) -> str:
    return ", ".join(
        f"{reason} {number(count)}" for reason, count in sorted(reasons.items(), key=lambda each: -each[1])
    )


def rejected(run: StoredRun) -> dict[str, dict[str, int]]:
    """Return the rows of source files that are no documents: node -> reason -> how many."""
    found = {}
    for view in run.nodes:
        if view.finished and view.manifest["new_base"]:
            counts = view.counts.get(view.manifest["new_base"], {})
            reasons = {name.partition(".")[2]: count for name, count in counts.items() if name.startswith("rejected.")}
            found |= {view.label: reasons} if any(reasons.values()) else {}
    return found


def most_removing(run: StoredRun) -> str | None:
    """Return the node that removed most documents, None where none did."""
    counts = {
        view.label: sum(
            n for name, n in view.counts.get(view.manifest["row_phase"], {}).items() if name.startswith("removed.")
        )
        for view in run.nodes
        if view.finished and view.manifest["row_phase"]
    }
    return max(counts, key=lambda label: counts[label]) if any(counts.values()) else None


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
