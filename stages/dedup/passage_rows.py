"""The verdict of `decontaminate` on the rows of one shard, and the cut of passages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from pipeline.contract import Columns, Context, Removed, RowFunction
from stages.dedup.passages import Grams, gram_hashes, load_grams, match, text_tokens
from stages.dedup.shingles import spans

if TYPE_CHECKING:
    import pyarrow as pa

    from stages.dedup.decontaminate import Decontaminate

MOST_ITEMS = 5  # named in one document's column


def row_function(ctx: Context) -> RowFunction:
    import pyarrow as pa

    node: Decontaminate = ctx.node  # type: ignore[assignment]
    assert ctx.shard is not None
    hits = np.load(ctx.path("hits", ctx.shard.name, ".npy"))
    speaks = np.load(ctx.path("matches", "all", ".npy"))
    hits = hits[speaks[hits["gram"]]]
    found = _verdicts(ctx, hits["row"].astype(np.int64), hits["gram"])
    grams = load_grams(ctx) if node.changes_text else None

    def judged(table: pa.Table) -> Columns:
        rows = table["_row"].to_pylist()
        verdicts = [found.get(row) for row in rows]
        count = pa.array([v[0] if v else 0 for v in verdicts], pa.int32())
        contaminated = pa.array([v is not None for v in verdicts])
        added = {
            "eval_hits": count,
            "eval_items": pa.array([v[1] if v else None for v in verdicts], pa.string()),
            "eval_coverage": pa.array([v[2] if v else None for v in verdicts], pa.float32()),
        }
        removed = text = None
        if node.action == "drop":
            removed = Removed.where(contaminated, "decontaminate.eval", value=count, threshold=node.min_hits)
        if grams is not None:
            texts = table["text"]
            cut = [masked(texts[i].as_py(), grams, speaks, node) if v else None for i, v in enumerate(verdicts)]
            text = pa.array(cut, pa.string())
        return Columns(added=added, removed=removed, text=text)

    return judged


def _verdicts(ctx: Context, rows: np.ndarray, gram: np.ndarray) -> dict[int, tuple[int, str, float]]:
    """row -> (hits, items, coverage), for contaminated rows."""
    node: Decontaminate = ctx.node  # type: ignore[assignment]
    known = json.loads(ctx.path("items", "all", ".json").read_text())
    names, sizes = known["names"], known["sizes"]
    distinct, counts = np.unique(rows, return_counts=True)
    hits = dict(zip(distinct.tolist(), counts.tolist(), strict=True))
    by_row: dict[int, list[tuple[float, int]]] = {}
    pairs = np.load(ctx.path("items", "all", "-pairs.npy"))
    for row, item, n in zip(*(a.tolist() for a in match(rows, gram, pairs, node.min_hits)), strict=True):
        by_row.setdefault(row, []).append((-n / sizes[item], item))
    return {
        row: (hits[row], ",".join(names[item] for _, item in sorted(items)[:MOST_ITEMS]), -min(items)[0])
        for row, items in by_row.items()
    }


def masked(text: str, grams: Grams, speaks: np.ndarray, node: Decontaminate) -> str:
    """The text with `mask` in the place of every passage: from the first to the last word of n-grams that overlap."""
    tokens, places = text_tokens(text, node.unit), spans(text, node.unit)
    assert len(tokens) == len(places)
    covered = np.zeros(len(tokens), bool)
    for j, width in enumerate(grams.widths.tolist()):
        known = np.arange(grams.starts[j], grams.starts[j + 1])
        known = grams.hashes[known[speaks[known]]]
        if len(tokens) < width:
            continue
        for at in np.flatnonzero(np.isin(gram_hashes(tokens, width), known)).tolist():
            covered[at : at + width] = True
    bounds = np.flatnonzero(np.diff(covered.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
    parts, at = [], 0
    for first, stop in bounds.tolist():
        parts += [text[at : places[first][1]], node.mask]
        at = places[stop - 1][2]
    return "".join([*parts, text[at:]])
