"""A node's scores and thresholds: what lies where, and what another threshold would keep, exactly."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.contract import Node
from pipeline.errors import UserError
from pipeline.recipe import parse
from pipeline.recipe.vocabulary import fields_of
from siftloom.ask.scores import ScoredDocuments
from siftloom.ask.whatif import changed, counted
from siftloom.ui.shelf import Shelf
from siftloom.vocabulary import vocabulary

if TYPE_CHECKING:
    import pyarrow as pa

    from siftloom.run import NodeView, Run

BINS = 60
NEAR = 2  # documents on each side of a threshold that are shown
LETTERS = 600
ROOM = 0.02  # of the range, so that a threshold can be dragged beyond every value
SKEWED = 100  # bars that differ by more stand on a logarithmic axis


def node(shelf: Shelf, asked: Mapping[str, str]) -> Any:
    """A node's thresholds, each with the column that it is held against, its number columns, and its reasons."""
    run = shelf.run(asked["run"])
    view = run[asked["node"]]
    scores, value = shelf.scores(view), _value(run, view)
    against = _against(value)
    reasons: dict[str, int] = {}
    for entry in scores.now.drop_null().value_counts().to_pylist():
        reasons[entry["values"]] = entry["counts"]
    return {
        "node": view.label, "kind": view.kind, "cannot": _cannot(scores, value),
        "documents": len(scores.now), "kept": scores.now.null_count,
        "fields": [
            {"name": name, "value": getattr(value, name), "number": _is_number(each.hint), "column": against.get(name)}
            for name, each in fields_of(type(value)).items() if each.role == "threshold"
        ],
        "columns": [name for name in dict.fromkeys((*scores.own, *against.values())) if _holds_numbers(scores, name)],
        "reasons": dict(sorted(reasons.items(), key=lambda entry: -entry[1])),
        "groups": {name: _values(scores, name) for name in scores.groups},
    }  # fmt: skip


def column(shelf: Shelf, asked: Mapping[str, str]) -> Any:
    """The histogram of one column of the documents that a node saw, with what it removed."""
    run = shelf.run(asked["run"])
    view = run[asked["node"]]
    scores, value = shelf.scores(view), _value(run, view)
    return histogram(scores, asked.get("column", ""), value, scores.now)


def whatif(shelf: Shelf, asked: Mapping[str, str]) -> Any:
    """What another value of a field would keep and remove, with documents on both sides of it."""
    run, label = shelf.run(asked["run"]), asked["node"]
    view, field, value = run[label], asked.get("field", ""), asked.get("value", "")
    other = changed(run, label, f"{field}={value}")
    scores = shelf.scores(view)
    then = scores.decide(other)
    found = {"field": field, "value": value, **counted(scores, then, shelf.lengths(view))}
    name = asked.get("column") or _against(other).get(field)
    if name:
        found["histogram"] = histogram(scores, name, other, then)
        found["near"] = _near(scores, name, getattr(other, field))
    found["line"] = changed_line(run.record.get("recipe") or "", label, field, value)
    found["command"] = f"siftloom run {run.name.partition('@')[0]}.yaml -s {label}.{field}={value}"
    return found


def histogram(scores: ScoredDocuments, name: str, value: Node, reasons: pa.Array) -> dict[str, Any]:
    """A figure (`docs/figures.md`): counts and removed documents in bins of a column; outer bars hold what lies beyond.

    Raises UserError for a column that holds no numbers.
    """
    found = numbers_of(scores, name)
    if found is None:
        raise UserError(scores.view.label, f"no number column {name!r}", f"one of {', '.join(scores.own)}")
    here = np.isfinite(found)
    low, high = _range(found[here], getattr(type(value), "histograms", {}).get(name, (-np.inf, np.inf))[:2])
    gone = reasons.is_valid().to_numpy(zero_copy_only=False)[here]
    kept = found[here].clip(low, high)
    counts, edges = np.histogram(kept, BINS, (low, high))
    removed, _ = np.histogram(kept[gone], BINS, (low, high))
    least = min((int(count) for count in counts if count), default=1)
    marks = [
        {"x": limit, "label": field}
        for field, column in _against(value).items()
        if column == name and isinstance(limit := getattr(value, field), int | float)
    ]
    return {
        "kind": "histogram", "title": name, "x": name, "edges": edges.tolist(), "counts": counts.tolist(),
        "removed": removed.tolist(), "marks": marks, "log_y": int(counts.max(initial=0)) > SKEWED * least,
        "without": int((~here).sum()),
    }  # fmt: skip


def changed_line(recipe: str, label: str, field: str, value: str) -> str:
    """The line of a recipe that makes a node, with the field changed; `field: value` where it has none of its own."""
    line = next((line for line in recipe.splitlines() if re.match(rf"\s*{re.escape(label)}\s*:\s*\{{", line)), None)
    if line is None:
        return f"{field}: {value}"
    there = re.compile(rf"(?<=[{{,\s]){re.escape(field)}\s*:\s*(\[[^\]]*\]|\{{[^}}]*\}}|[^,}}]+)")
    for found in there.finditer(line):
        before = line[: found.start()]
        if before.count("{") - before.count("}") == 1:  # the node's own field, not one of a node inside
            return f"{before}{field}: {value}{line[found.end() :]}".strip()
    end = line.rindex("}")
    return f"{line[:end].rstrip()}, {field}: {value}{line[end:]}".strip()


def _value(run: Run, view: NodeView) -> Node:
    """The node as its recipe says. Raises UserError for a run without one."""
    text = run.record.get("recipe")
    nodes = parse(text, vocabulary(), source=f"recipe of {run.name}").nodes if text else {}
    if view.label not in nodes:
        raise UserError(view.label, "a node that its recipe does not name", "a node with a name in the run's recipe")
    return nodes[view.label]


def _cannot(scores: ScoredDocuments, value: Node) -> str | None:
    """Why a node cannot decide again from stored columns; None where it can."""
    try:
        scores.decide(value)
    except UserError as error:
        return str(error)
    return None


def _against(value: Node) -> dict[str, str]:
    """Threshold field -> column that it is held against, as far as the class says."""
    found = {
        field: column
        for column, (_, _, _, *fields) in getattr(type(value), "histograms", {}).items()
        for field in fields
    }
    if isinstance(by := getattr(value, "by", None), str):
        found["min"] = by
    return found


def numbers_of(scores: ScoredDocuments, name: str) -> np.ndarray | None:
    """A number column of the documents as float64, NaN where there is no value; None where there is no such column."""
    import pyarrow as pa
    import pyarrow.compute as pc

    known = {*scores.own, *(column for seen in scores.shards for column in seen.columns)}
    if name not in known:
        return None
    values = scores.columns([name])[name]
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        return None
    return pc.fill_null(values.cast(pa.float64()), float("nan")).to_numpy()


def _holds_numbers(scores: ScoredDocuments, name: str) -> bool:
    import pyarrow as pa

    if name not in scores.own:
        return numbers_of(scores, name) is not None
    kind = scores.table.schema.field(name).type
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _near(scores: ScoredDocuments, name: str, limit: Any) -> dict[str, list[dict[str, Any]]]:
    """The documents whose value lies nearest below a limit, and nearest at or above it."""
    values = numbers_of(scores, name)
    if values is None or not isinstance(limit, int | float):
        return {"below": [], "above": []}
    below, above = np.flatnonzero(values < limit), np.flatnonzero(values >= limit)
    chosen = {"below": _nearest(below, -values[below]), "above": _nearest(above, values[above])}
    return {side: _documents(scores, at.tolist(), values) for side, at in chosen.items()}


def _nearest(places: np.ndarray, far: np.ndarray) -> np.ndarray:
    """The places with the smallest `far`, without sorting all."""
    if len(far) <= NEAR:
        return places
    some = np.flatnonzero(far <= np.partition(far, NEAR - 1)[NEAR - 1])[:NEAR]
    return places[some[np.argsort(far[some], kind="stable")]]


def _documents(scores: ScoredDocuments, at: Sequence[int], values: np.ndarray) -> list[dict[str, Any]]:
    return [
        {"id": scores.table["id"][place].as_py(), "value": float(values[place]), "text": text[:LETTERS],
         "reason": scores.now[place].as_py()}
        for place, text in zip(at, scores.texts(at), strict=True)
    ]  # fmt: skip


def _values(scores: ScoredDocuments, name: str) -> dict[str, int]:
    """The most frequent values of a column and how many documents have each."""
    counts = scores.table[name].value_counts().to_pylist()
    counts.sort(key=lambda entry: -entry["counts"])
    return {str(entry["values"]): entry["counts"] for entry in counts[:200]}


def _range(values: np.ndarray, widest: Sequence[float]) -> tuple[float, float]:
    """Where the values lie, with room beyond the last, within the range that the node's class gives for its report."""
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    low, high = max(low, widest[0]), min(high + ROOM * (high - low), widest[1])
    return (low, high) if high > low else (low, low + 1.0)


def _is_number(hint: Any) -> bool:
    words = set(re.findall(r"\w+", str(hint)))
    return bool(words & {"int", "float"}) and not words & {"tuple", "dict", "list", "str"}
