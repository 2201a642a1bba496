"""The phase `rows`: the findings in the documents of one shard, and the masking of passages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.contract import Columns, Context, Removed, RowFunction
from stages.decontaminate.forms import with_places
from stages.decontaminate.grams import Grams, gram_hashes, load_grams
from stages.decontaminate.matches import match
from stages.hashing.shingles import spans
from stages.hashing.sketch import word_hashes

if TYPE_CHECKING:
    import pyarrow as pa

MAX_ITEMS = 5  # named in one document's column


def start(ctx: Context) -> RowFunction:
    """Return the function that adds the findings to a batch of the shard, and removes or masks as `action` says."""
    import pyarrow as pa

    node: Any = ctx.node
    assert ctx.shard is not None
    hits = np.load(ctx.path("hits", ctx.shard.name, ".npy"))
    telling = np.load(ctx.path("matches", "all", ".npy"))
    hits = hits[telling[hits["gram"]]]
    found = _findings(ctx, hits["row"].astype(np.int64), hits["gram"])
    grams = load_grams(ctx) if node.changes_text else None

    def decide(table: pa.Table) -> Columns:
        findings = [found.get(row) for row in table["_row"].to_pylist()]
        count = pa.array([v[0] if v else 0 for v in findings], pa.int32())
        contaminated = pa.array([v is not None for v in findings])
        added = {
            "eval_hits": count,
            "eval_items": pa.array([v[1] if v else None for v in findings], pa.string()),
            "eval_coverage": pa.array([v[2] if v else None for v in findings], pa.float32()),
        }
        removed = text = None
        if node.action == "drop":
            removed = Removed.where(contaminated, "decontaminate.eval", value=count, threshold=node.min_hits)
        if grams is not None:
            texts = table["text"]
            changed = [
                masked(texts[i].as_py(), grams, telling, node.unit, node.mask) if v else None
                for i, v in enumerate(findings)
            ]
            text = pa.array([new or None for new in changed], pa.string())
            empty = pa.array([new is not None and not new.strip() for new in changed])
            removed = Removed.where(empty, "decontaminate.eval", value=count, threshold=node.min_hits)
        return Columns(added=added, removed=removed, text=text)

    return decide


def _findings(ctx: Context, rows: np.ndarray, gram: np.ndarray) -> dict[int, tuple[int, str, float]]:
    """Return {row: (hits, items, coverage)} of contaminated rows."""
    node: Any = ctx.node
    known = ctx.read_json("items")
    names, sizes = known["names"], known["sizes"]
    distinct, counts = np.unique(rows, return_counts=True)
    hits = dict(zip(distinct.tolist(), counts.tolist(), strict=True))
    by_row: dict[int, list[tuple[float, int]]] = {}
    pairs = np.load(ctx.path("items", "all", "-pairs.npy"))
    for row, item, n in zip(*(a.tolist() for a in match(rows, gram, pairs, node.min_hits)), strict=True):
        by_row.setdefault(row, []).append((-n / sizes[item], item))
    return {
        row: (hits[row], ",".join(names[item] for _, item in sorted(items)[:MAX_ITEMS]), -min(items)[0])
        for row, items in by_row.items()
    }


def masked(text: str, grams: Grams, telling: np.ndarray, unit: Any, mask: str) -> str:
    """Return the text with `mask` in the place of every passage.

    A passage goes from the first to the last word of n-grams that overlap; telling bool[g]: n-grams that may match.
    """
    form, begins = with_places(text)
    words, places = word_hashes(form, unit), [(begins[a], begins[b]) for _, a, b in spans(form, unit)]
    assert len(words) == len(places)
    covered = np.zeros(len(words), bool)
    for j, width in enumerate(grams.widths.tolist()):
        known = np.arange(grams.starts[j], grams.starts[j + 1])
        known = grams.hashes[known[telling[known]]]
        if len(words) < width:
            continue
        for at in np.flatnonzero(np.isin(gram_hashes(words, width), known)).tolist():
            covered[at : at + width] = True
    bounds = np.flatnonzero(np.diff(covered.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
    parts, at = [], 0
    for first, stop in bounds.tolist():
        parts += [text[at : places[first][0]], mask]
        at = places[stop - 1][1]
    return "".join([*parts, text[at:]])
