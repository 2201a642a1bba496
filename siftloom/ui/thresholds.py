"""A node's scores and thresholds: what lies where, and what another threshold would keep, exactly."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.contract import Node
from pipeline.errors import UserError
from pipeline.recipe.vocabulary import fields_of
from siftloom.ask.recorded import nodes_of
from siftloom.ask.scores import ScoredDocuments
from siftloom.ask.whatif import changed, counted
from siftloom.ui.commands import changed_line, command
from siftloom.ui.shelf import Shelf
from stages.dedup.minhash import MinHashDedup
from stages.select import Select

if TYPE_CHECKING:
    import pyarrow as pa

    from siftloom.run import NodeView, Run

BINS = 60
NEAR = 2  # documents on each side of a threshold that are shown
LETTERS = 600
ROOM = 0.02  # of the range, so that a threshold can be dragged beyond every value
SHARES = 200  # steps of a handle over a share
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
            {"name": name, "value": getattr(value, name), "number": _is_number(each.hint), "column": against.get(name),
             "cuts": _cuts(scores, value) if name == "keep_fraction" and name in against else None}
            for name, each in fields_of(type(value)).items() if each.role == "threshold"
        ],
        "columns": [
            name for name in dict.fromkeys((*scores.own, *against.values())) if _holds_numbers(scores, name, value)
        ],
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
        found["near"] = _near(scores, name, other, _limit(found["histogram"], field, getattr(other, field)))
    found["line"] = changed_line(run.record.get("recipe") or "", label, field, value)
    found["command"] = command(run, label, f"{field}={value}")
    return found


def histogram(scores: ScoredDocuments, name: str, value: Node, reasons: pa.Array) -> dict[str, Any]:
    """A figure (`docs/figures.md`): counts and removed documents in bins of a column; outer bars hold what lies beyond.

    Raises UserError for a column that holds no numbers.
    """
    found = numbers_of(scores, name, value)
    if found is None:
        raise UserError(scores.view.label, f"no number column {name!r}", f"one of {', '.join(scores.own)}")
    here = np.isfinite(found)
    low, high = _range(found[here], getattr(value, "histograms", {}).get(name, (-np.inf, np.inf))[:2])
    marks = [
        {"x": _place(scores, value, field, limit), "label": field}
        for field, column in _against(value).items()
        if column == name and isinstance(limit := getattr(value, field), int | float)
    ]
    room = (high - low) / 2  # a threshold that is farther off would press the bars together
    beyond = [mark["x"] for mark in marks if low - room <= mark["x"] <= high + room]
    low, high = min([low, *beyond]), max([high, *beyond])
    gone = reasons.is_valid().to_numpy(zero_copy_only=False)[here]
    kept = found[here].clip(low, high)
    counts, edges = np.histogram(kept, BINS, (low, high))
    removed, _ = np.histogram(kept[gone], BINS, (low, high))
    least = min((int(count) for count in counts if count), default=1)
    return {
        "kind": "histogram", "title": name, "x": name, "edges": edges.tolist(), "counts": counts.tolist(),
        "removed": removed.tolist(), "marks": marks, "log_y": int(counts.max(initial=0)) > SKEWED * least,
        "without": int((~here).sum()),
    }  # fmt: skip


def _value(run: Run, view: NodeView) -> Node:
    """The node as its recipe says. Raises UserError for a run without one."""
    nodes = nodes_of(run) if run.record.get("recipe") else {}
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
        field: column for column, (_, _, _, *fields) in getattr(value, "histograms", {}).items() for field in fields
    }
    if isinstance(by := getattr(value, "by", None), str) and getattr(value, "per", None) is None:
        found |= dict.fromkeys(("min", "max", "keep_fraction"), by)
    if isinstance(value, MinHashDedup):
        found["min_jaccard"] = value.columns()["estimate"]
    return found


def _cuts(scores: ScoredDocuments, value: Node) -> list[float]:
    """Where a selection cuts its score for each of `SHARES` shares, from nothing kept to all: a handle's way. Rows that
    are held out count here; they do not in a run.
    """
    found = numbers_of(scores, getattr(value, "by", ""), value)
    found = np.array([]) if found is None else found[np.isfinite(found)]
    if not len(found):
        return []
    shares = np.linspace(0, 1, SHARES + 1)
    return np.quantile(found, shares if getattr(value, "lowest", False) else 1 - shares).tolist()


def numbers_of(scores: ScoredDocuments, name: str, value: Node | None = None) -> np.ndarray | None:
    """A number column of the documents as float64, NaN where there is no value; None where there is no such column.
    With a `select` it may be the expression that this one chooses by.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    known = {*scores.own, *(column for seen in scores.shards for column in seen.columns)}
    if name in known:
        values = scores.columns([name])[name]
    elif isinstance(value, Select) and name == value.by and (read := value.read()) is not None:
        values = pa.chunked_array([read.values(scores.columns(read.columns))])
    else:
        return None
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        return None
    return pc.fill_null(values.cast(pa.float64()), float("nan")).to_numpy()


def _holds_numbers(scores: ScoredDocuments, name: str, value: Node) -> bool:
    import pyarrow as pa

    if name not in scores.own:
        return numbers_of(scores, name, value) is not None
    kind = scores.table.schema.field(name).type
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _place(scores: ScoredDocuments, value: Node, field: str, limit: float) -> float:
    """Return where a threshold stands on the axis of its column; a share stands where it cuts."""
    cuts = _cuts(scores, value) if field == "keep_fraction" else []
    return float(np.interp(limit, np.linspace(0, 1, len(cuts)), cuts)) if cuts else limit


def _limit(figure: Mapping[str, Any], field: str, value: Any) -> Any:
    """Return the place of a threshold on the axis: that of its mark, where it is a share."""
    return next((mark["x"] for mark in figure["marks"] if mark["label"] == field), value)


def _near(scores: ScoredDocuments, name: str, value: Node, limit: Any) -> dict[str, list[dict[str, Any]]]:
    """The documents whose value lies nearest below a limit, and nearest at or above it."""
    values = numbers_of(scores, name, value)
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
