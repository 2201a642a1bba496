"""A few removed documents per reason, with the text that the node saw, and beside a copy the document that stayed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipeline.report.data import Example
from pipeline.results.rows import ShardView

if TYPE_CHECKING:
    from pipeline.results.binding import BaseShard, Link
    from pipeline.run import StoredRun

EACH = 3  # examples of one reason
SHARDS, ROWS = 4, 20_000  # how many shards are looked through, and rows of each
LETTERS = 40_000  # of a text that are kept


def examples_of(run: StoredRun, manifest: dict[str, Any]) -> dict[str, tuple[Example, ...]]:
    """Reason -> examples, chosen by a hash of the document's id; none where the rows looked through hold none."""
    stream = run.manifests.stream(manifest)
    found: dict[str, list[dict[str, Any]]] = {reason: [] for reason in manifest["reasons"]}
    for base in stream.shards[:SHARDS]:
        *before, own = stream.chain(base.shard)
        for reason, rows in _removed(run, base, own, manifest).items():
            found[reason] += rows
        _add_texts(run, base, before, [row for rows in found.values() for row in rows])
        for reason, rows in found.items():
            found[reason] = sorted(rows, key=_draw)[:EACH]
    return {reason: tuple(_example(row) for row in rows) for reason, rows in found.items() if rows}


def _removed(
    run: StoredRun, base: BaseShard, own: Link, manifest: Mapping[str, Any]
) -> dict[str, list[dict[str, Any]]]:
    """Up to `EACH` rows per reason of one shard, chosen among its first rows; those whose original is near go first."""
    named = manifest["original"]
    view = ShardView(run.store, base, ())
    columns = ["state", "removed_value", "removed_threshold", *([named] if named else [])]
    side = view.read_side_car(own, columns).slice(0, ROWS).to_pydict()
    ids: list[str] = []
    for _, _, table in view.batches(["id"]):
        ids += table["id"].to_pylist()
        if len(ids) >= ROWS:
            break
    here = dict(zip(ids[:ROWS], range(ROWS), strict=False))
    found: dict[str, list[dict[str, Any]]] = {}
    for row, state in enumerate(side["state"]):
        if state and row < len(ids):
            original = side[named][row] if named else None
            found.setdefault(manifest["reasons"][state - 1], []).append(
                {
                    "shard": base.shard.name,
                    "row": row,
                    "id": ids[row],
                    "kept_id": original,
                    "kept_row": here.get(original) if original else None,
                    "value": side["removed_value"][row],
                    "threshold": side["removed_threshold"][row],
                }
            )
    return {reason: sorted(rows, key=_draw)[:EACH] for reason, rows in found.items()}


def _add_texts(run: StoredRun, base: BaseShard, before: list[Link], rows: list[dict[str, Any]]) -> None:
    """Read the texts of the chosen rows, and of their originals, from this shard; stop behind the last of them."""
    here = [row for row in rows if row["shard"] == base.shard.name]
    wanted = {row["row"] for row in here} | {row["kept_row"] for row in here if row["kept_row"] is not None}
    texts: dict[int, str] = {}
    if wanted:
        import numpy as np

        for start, _, table in ShardView(run.store, base, before).batches(["text"], np.array(sorted(wanted))):
            for row in wanted:
                if start <= row < start + len(table):
                    texts[row] = (table["text"][row - start].as_py() or "")[:LETTERS]
            if start + len(table) > max(wanted):
                break
    for row in here:
        row["text"], row["kept_text"] = texts.get(row["row"], ""), texts.get(row["kept_row"])


def _draw(row: Mapping[str, Any]) -> tuple[bool, bytes]:
    """Rows whose original is at hand first, then in the order of a hash, so that neighbours are not shown together."""
    return row["kept_id"] is not None and row["kept_row"] is None, hashlib.sha256(row["id"].encode()).digest()


def _example(row: Mapping[str, Any]) -> Example:
    return Example(
        id=row["id"], text=row["text"], value=row["value"], threshold=row["threshold"],
        kept_id=row["kept_id"], kept_text=row["kept_text"],
    )  # fmt: skip
