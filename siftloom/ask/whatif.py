"""`siftloom whatif`: which documents a node would keep under another threshold, from stored scores.

The counts are those that a run with the changed field would give (`siftloom.ask.scores`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.contract import Node
from pipeline.errors import UserError
from pipeline.recipe.vocabulary import fields_of
from siftloom.ask.recorded import nodes_of
from siftloom.ask.scores import GROUPS, ScoredDocuments

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.run import StoredRun

EXAMPLES = 3  # documents of each side that are shown
LETTERS = 2000  # of an example's text


def whatif(run: StoredRun, label: str, change: str) -> dict[str, Any]:
    """Return what `field=value` at a node of a finished run would change. Raises UserError where no stored score says.

    `kept` and the groups of `by` hold (now, then) in documents and bytes; `sides` the documents that change sides.
    """
    node = changed(run, label, change)
    scores = ScoredDocuments(run, run[label])
    return {"node": label, "change": change, **counted(scores, scores.decide(node), scores.lengths)}


def changed(run: StoredRun, label: str, change: str) -> Node:
    """Return the node of the run's recipe with one threshold changed. Raises UserError for any other field."""
    name = change.partition("=")[0].strip()
    view = run[label]
    node = nodes_of(run, [f"{label}.{change}"])[label]
    known = fields_of(type(node))
    if name not in known or known[name].role != "threshold":
        free = ", ".join(key for key, each in known.items() if each.role == "threshold") or "(none)"
        raise UserError(
            f"{view.label}.{name}", "a field that changes the scores themselves", f"a threshold: {free}",
            f"siftloom run RECIPE {label} -s {label}.{change}",
        )  # fmt: skip
    return node


def counted(scores: ScoredDocuments, then: pa.Array, lengths: Any = None) -> dict[str, Any]:
    """Return what `then` (a reason or null for every document) would change; bytes are null without `lengths`."""
    import pyarrow.compute as pc

    now = scores.now
    kept = [pc.is_null(now), pc.is_null(then)]
    reasons = [
        {entry["values"]: entry["counts"] for entry in pc.value_counts(side.drop_null()).to_pylist()}
        for side in (now, then)
    ]
    return {
        "documents": len(now),
        "kept": _kept(kept, lengths),
        "reasons": {name: [side.get(name, 0) for side in reasons] for name in sorted({*reasons[0], *reasons[1]})},
        "by": {name: _by(scores, name, kept, lengths) for name in GROUPS},
        "sides": {
            "kept then": _side(scores, pc.and_not(kept[1], kept[0]), now),
            "removed then": _side(scores, pc.and_not(kept[0], kept[1]), then),
        },
    }


def _kept(kept: list[pa.Array], lengths: Any) -> dict[str, Any]:
    import pyarrow.compute as pc

    masks = [mask.to_numpy(zero_copy_only=False) for mask in kept]
    sizes = None if lengths is None else [int(lengths[mask].sum()) for mask in masks]
    return {"documents": [pc.sum(mask).as_py() or 0 for mask in kept], "bytes": sizes}


def _by(scores: ScoredDocuments, name: str, kept: list[pa.Array], lengths: Any) -> dict[str, Any]:
    """Return value -> counts for the values of one column."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if name not in scores.table.column_names:
        return {}
    parts = {"group": pc.fill_null(scores.table[name].cast(pa.string()), "None")}
    for side, mask in zip(("now", "then"), kept, strict=True):
        parts[f"documents {side}"] = mask.cast(pa.int64())
        if lengths is not None:
            parts[f"bytes {side}"] = pc.if_else(mask, pa.array(lengths), 0)
    sums = [(column, "sum") for column in parts if column != "group"]
    rows = pa.table(parts).group_by("group").aggregate(sums).sort_by("group").to_pylist()
    return {
        row["group"]: {
            what: [row[f"{what} {side}_sum"] for side in ("now", "then")] if f"{what} now" in parts else None
            for what in ("documents", "bytes")
        }
        for row in rows
    }


def _side(scores: ScoredDocuments, mask: pa.Array, reasons: pa.Array) -> dict[str, Any]:
    import pyarrow.compute as pc

    at = pc.indices_nonzero(mask)
    first = at[:EXAMPLES].to_pylist()
    shown = [
        {"id": scores.table["id"][place].as_py(), "reason": reasons[place].as_py(), "text": text[:LETTERS]}
        for place, text in zip(first, scores.texts(first), strict=True)
    ]
    return {"documents": len(at), "examples": shown}
