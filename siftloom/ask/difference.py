"""`siftloom diff`: documents that one run keeps and another removes, the reasons, and the change of the results."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from pipeline.errors import UserError
from siftloom.ask.samples import texts_of
from siftloom.result import highlighted

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.run import StoredNode, StoredRun

EXAMPLES = 2  # documents of each reason that are shown
VALUES = ("value", "threshold", "duplicate_of")


def difference(one: StoredRun, other: StoredRun, node: str | None = None) -> dict[str, Any]:
    """Compare the documents that are left after a node (by default the last of both runs that has rows).

    Returns `node`, `kept` (documents in each run), `gone` and `new`: per (node, reason) of the run that removes them
    how many documents only the first or only the second run keeps, with examples; and `results`, the numbers of the
    highlighted tables that differ.
    """
    label = node or _last_common(one, other)
    ids = [run[label].rows(["id"])["id"].combine_chunks() for run in (one, other)]
    return {
        "node": label,
        "kept": [len(side) for side in ids],
        "gone": _reasons(one, other, label, _without(ids[0], ids[1])),
        "new": _reasons(other, one, label, _without(ids[1], ids[0])),
        "results": _results(one, other),
    }


def _last_common(one: StoredRun, other: StoredRun) -> str:
    known = {view.label for view in other.nodes if _has_rows(view)}
    common = [view.label for view in one.nodes if _has_rows(view) and view.label in known]
    if not common:
        raise UserError(f"{one.name} and {other.name}", "no finished node of one name", "two runs of one recipe")
    return common[-1]


def _has_rows(view: StoredNode) -> bool:
    return view.finished and bool(view.manifest["row_phase"] or view.manifest["new_base"])


def _without(ids: pa.Array, others: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    return ids.filter(pc.invert(pc.is_in(ids, others)))


def _reasons(keeps: StoredRun, removes: StoredRun, label: str, gone: pa.Array) -> list[dict[str, Any]]:
    """Return the reasons for which the second run does not keep these documents, the most frequent first."""
    import pyarrow.compute as pc

    ids, table = gone.to_pylist(), removes[label].removed()
    removed = {row["id"]: row for row in table.filter(pc.is_in(table["id"], gone)).to_pylist()}
    why = {name: (row["node"], row["reason"]) for name, row in removed.items()}
    counts = Counter(why.get(name, ("", "not read")) for name in ids)
    examples: dict[tuple[str, str], list[str]] = {}
    for name in sorted(ids):
        shown = examples.setdefault(why.get(name, ("", "not read")), [])
        if len(shown) < EXAMPLES:
            shown.append(name)
    texts = texts_of(keeps, {name for shown in examples.values() for name in shown})
    return [
        {
            "node": node, "reason": reason, "documents": count,
            "examples": [
                {"id": name, "text": texts.get(name, ""), **{k: removed.get(name, {}).get(k) for k in VALUES}}
                for name in examples[node, reason]
            ],
        }
        for (node, reason), count in sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    ]  # fmt: skip


def _results(one: StoredRun, other: StoredRun) -> list[dict[str, Any]]:
    """Return the numbers that differ, of rows and columns of one name in highlighted tables of one title."""
    tables = {table["title"]: table for table in highlighted(other)}
    found = []
    for table in highlighted(one):
        rows = {row[0]: row for row in tables.get(table["title"], {}).get("rows", ())}
        columns = tables.get(table["title"], {}).get("columns", ())
        for row in table["rows"]:
            for number, column in enumerate(table["columns"][1:], 1):
                if row[0] not in rows or column not in columns:
                    continue
                then = rows[row[0]][list(columns).index(column)]
                if then != row[number]:
                    found.append({"row": row[0], "column": column, "values": [row[number], then]})
    return found
