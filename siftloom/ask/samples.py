"""Documents of a run: a few that a node removed, their texts, and those that hold a piece of text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.errors import UserError

if TYPE_CHECKING:
    from pipeline.run import StoredNode, StoredRun

MOST_FOUND = 5


def samples(view: StoredNode, count: int, reason: str | None = None) -> list[dict[str, Any]]:
    """Return per reason its count and its first documents in the order of the rows, the most frequent reason first.

    Raises UserError for a reason that the node gave to no document.
    """
    import pyarrow.compute as pc

    table = view.removed(own=True)
    counts = {entry["values"]: entry["counts"] for entry in table["reason"].value_counts().to_pylist()}
    if reason is not None and reason not in counts:
        known = f"one of {', '.join(sorted(counts))}" if counts else "a node that removed something"
        raise UserError(view.label, f"no document was removed for {reason!r}", known)
    wanted = [reason] if reason is not None else sorted(counts, key=lambda name: (-counts[name], name))
    chosen = {name: table.filter(pc.equal(table["reason"], name)).slice(0, count).to_pylist() for name in wanted}
    texts = texts_of(view.run, {row["id"] for rows in chosen.values() for row in rows})
    for rows in chosen.values():
        for row in rows:
            row["text"] = texts.get(row["id"], "")
    return [{"reason": name, "count": counts[name], "documents": chosen[name]} for name in wanted]


def write_ledger(view: StoredNode, path: str, reason: str | None = None) -> int:
    """Write a Parquet file with a row for each document that went on the way up to this node, this one included: `id`,
    `node`, `rule`, `value`, `threshold`, `duplicate_of`. Returns their number; raises UserError where nothing can be
    written.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = view.removed()
    if reason is not None:
        table = table.filter(pc.equal(table["reason"], reason))
    names = ["rule" if name == "reason" else name for name in table.column_names]
    try:
        pq.write_table(table.rename_columns(names), path, compression="zstd")
    except OSError as error:
        raise UserError(path, error.strerror or str(error), "a file in a folder that exists") from None
    return table.num_rows


def texts_of(run: StoredRun, ids: set[str]) -> dict[str, str]:
    """Return id -> text, as it was read, of these documents."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found: dict[str, str] = {}
    for view in run.nodes:
        if view.finished and view.manifest["new_base"]:
            for batch in view.batches(("id", "text")):
                if len(found) == len(ids):
                    return found
                some = batch.filter(pc.is_in(batch["id"], pa.array(ids, pa.string())))
                found |= dict(zip(some["id"].to_pylist(), some["text"].to_pylist(), strict=True))
    return found


def with_text(run: StoredRun, piece: str) -> list[str]:
    """Return the ids of the first documents, as they were read, whose text holds a piece; at most `MOST_FOUND`."""
    import pyarrow.compute as pc

    found: list[str] = []
    for view in run.nodes:
        if view.finished and view.manifest["new_base"]:
            for batch in view.batches(("id", "text")):
                found += batch.filter(pc.match_substring(batch["text"], piece))["id"].to_pylist()
                if len(found) >= MOST_FOUND:
                    return found[:MOST_FOUND]
    return found
