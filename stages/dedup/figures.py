"""Charts of a dedup for the report: cluster sizes, the S-curve with observed pairs, large clusters, sources.

The S-curve is the chance that two documents of Jaccard similarity s share a band, 1 - (1 - s^rows)^bands. Source:
Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", section 3.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.contract import Context
from stages.dedup.anchors import BINS

SECTION = "duplicates"
MIN_PAIRS = 5  # in a bin, for a dot on the curve


def figures(ctx: Context) -> list[Mapping[str, Any]]:
    """Return the chart descriptions; see docs/figures.md."""
    result = ctx.result("verdict", "all")
    largest = ctx.read_json("verdict")
    facts, name = result.facts, ctx.node.kind()
    shown: list[Mapping[str, Any]] = [
        {
            "kind": "bars",
            "section": SECTION,
            "title": f"{name}: clusters by size",
            "labels": [f"{2**i} to {2 ** (i + 1) - 1}" for i in range(1, len(facts["sizes"]))],
            "values": facts["sizes"][1:],
            "unit": "clusters",
        },
        {
            "kind": "table",
            "section": SECTION,
            "title": f"{name}: the ten largest clusters",
            "columns": ["first document", "documents", "removed", "begins"],
            "rows": [[c["first"], c["size"], c["removed"], _begins(c)] for c in largest],
        },
        {
            "kind": "table",
            "section": SECTION,
            "title": f"{name}: removed by source",
            "columns": ["source", "documents", "removed", "share"],
            "units": [None, None, None, "percent"],
            "rows": [[name or "(no source)", n, gone, gone / n] for name, n, gone in facts["sources"][:30]],
        },
    ]
    node: Any = ctx.node
    if hasattr(node, "banding"):
        shown.insert(1, _curve(node.banding(), node.limit(), facts["pairs"]))
    shown += [_diff(example) for cluster in largest for example in cluster["examples"] if "kept_text" in example]
    return shown


def probability(s: np.ndarray | float, bands: int, rows: int) -> np.ndarray:
    """Return the chance that a pair of similarity `s` shares a band; of the shape of `s`."""
    return 1 - (1 - np.asarray(s, float) ** rows) ** bands


def similarity_at(p: float, bands: int, rows: int) -> float:
    """Return the similarity at which a pair is found with probability p."""
    return (1 - (1 - p) ** (1 / bands)) ** (1 / rows)


def describe(bands: int, rows: int) -> str:
    """Return one line: the similarities at which 10, 50, 90 and 99 % of the pairs are found."""
    points = ", ".join(f"{p:.0%} at {similarity_at(p, bands, rows):.3f}" for p in (0.1, 0.5, 0.9, 0.99))
    return f"{bands} bands x {rows} rows finds {points}"


def _curve(banding: tuple[int, int], limit: float | None, pairs: list[list[int]]) -> Mapping[str, Any]:
    points = [i / 50 for i in range(51)]
    observed = [((i + 0.5) / BINS, hit / n) for i, (n, hit) in enumerate(pairs) if n >= MIN_PAIRS]
    return {
        "kind": "lines",
        "section": SECTION,
        "title": "chance that a pair is compared",
        "note": f"{describe(*banding)}. Dots: pairs of one cluster, by their estimate.",
        "x": "Jaccard similarity",
        "y": "share that has a band in common",
        "series": [
            {"name": "curve", "points": [[s, round(float(probability(s, *banding)), 6)] for s in points]},
            {"name": "observed pairs", "points": [[x, round(y, 6)] for x, y in observed], "dots": True},
        ],
        "marks": [] if limit is None else [{"x": limit, "label": "min_jaccard"}],
    }


def _diff(example: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "kind": "diff",
        "section": SECTION,
        "title": f"removed for a near-duplicate, estimate {example['estimate']}",
        "left": example["kept_text"],
        "right": example["text"],
        "left_label": f"kept: {example['kept']}",
        "right_label": f"removed: {example['id']}",
    }


def _begins(cluster: dict) -> str:
    text = next((e["text"] for e in cluster["examples"] if "text" in e), "")
    return " ".join(text[:200].split())[:80]
