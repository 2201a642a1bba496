"""The figures of the made-up run."""

from __future__ import annotations

import math
import random
from typing import Any

NOVEL = (
    "It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a "
    "wife. However little known the feelings or views of such a man may be on his first entering a neighbourhood, this "
    "truth is so well fixed in the minds of the surrounding families, that he is considered the rightful property of "
    "some one or other of their daughters. “My dear Mr. Bennet,” said his lady to him one day, “have you heard that "
    "Netherfield Park is let at last?” Mr. Bennet replied that he had not. “But it is,” returned she; “for Mrs. Long "
    "has just been here, and she told me all about it.” Mr. Bennet made no answer. “Do you not want to know who has "
    "taken it?” cried his wife impatiently."
)
COPY = (
    NOVEL.replace("a good fortune", "a large fortune")
    .replace("his lady to him one day", "his wife to him one morning")
    .replace("she told me all about it", "she told me the whole of it")
)
MODELS = ("dense", "lost", "lost_reweighted", "dense_unfiltered")


def scores(dice: random.Random, title: str, x: str, threshold: float | None, section: str | None) -> dict[str, Any]:
    counts = [0] * 40
    for _ in range(2400):
        value = dice.betavariate(6, 3) if dice.random() < 0.6 else dice.betavariate(2, 9)
        counts[min(39, int(value * 40))] += 1
    figure = {
        "kind": "histogram",
        "title": title,
        "x": x,
        "edges": [i / 40 for i in range(41)],
        "counts": counts,
    }
    if threshold is not None:
        figure["marks"] = [{"x": threshold, "label": "threshold", "removed": "below"}]
        figure["note"] = f"{sum(counts[: int(threshold * 40)]):,} documents lie below the threshold."
    return figure | ({"section": section} if section else {})


def dedup(dice: random.Random) -> tuple[dict[str, Any], ...]:
    curve = [[x / 100, 1 - (1 - (x / 100) ** 4) ** 32] for x in range(1, 101)]
    seen = []
    for i in range(4, 20):
        expected = 1 - (1 - (i / 20 + 0.025) ** 4) ** 32
        seen.append([i / 20 + 0.025, min(1, max(0, dice.gauss(expected, 0.02)))])
    return (
        {
            "kind": "histogram",
            "title": "Cluster sizes",
            "x": "documents in a cluster",
            "log_x": True,
            "log_y": True,
            "edges": [1, 2, 3, 5, 9, 17, 33],
            "counts": [1731, 160, 62, 26, 7, 1],
            "section": "duplicates",
        },
        {
            "kind": "lines",
            "title": "Found pairs against the curve",
            "x": "Jaccard similarity",
            "y": "share that has a band in common",
            "section": "duplicates",
            "marks": [{"x": 0.6, "label": "kept below", "removed": "above"}],
            "note": "The line is 1 − (1 − s⁴)³² for 32 bands of 4 rows; each dot is a bin of 0.05.",
            "series": [{"name": "expected", "points": curve}, {"name": "observed", "points": seen, "dots": True}],
        },
        {
            "kind": "diff",
            "title": "Largest cluster: two members",
            "left": COPY,
            "right": NOVEL,
            "left_label": "removed",
            "right_label": "kept",
        },
    )


def losses(dice: random.Random) -> dict[str, Any]:
    series: list[dict[str, Any]] = []
    for name, floor, pace in zip(MODELS, (3.62, 3.69, 3.67, 3.98), (0.9, 0.82, 0.84, 0.88), strict=True):
        raw = [
            [step * 8192, floor + 4.7 * math.exp(-pace * step / 26) + 3 / (step + 6) + dice.gauss(0, 0.05)]
            for step in range(1, 201)
        ]
        smooth, average = [], raw[0][1]
        for tokens, loss in raw:
            average = 0.9 * average + 0.1 * loss
            smooth.append([tokens, average])
        series += [{"name": name, "points": raw, "faint": True}, {"name": name, "points": smooth}]
    return {
        "kind": "lines",
        "title": "Training loss",
        "x": "tokens seen",
        "y": "nats per token",
        "section": "training",
        "note": "Pale: every step. Line: its moving average. All but dense_unfiltered see the same rows in one order.",
        "y_range": [3.4, 6.0],
        "series": series,
    }


def weights(dice: random.Random) -> tuple[dict[str, Any], ...]:
    ess = [[step, 1 - 0.35 * (1 - math.exp(-step / 50)) + dice.gauss(0, 0.02)] for step in range(1, 201)]
    ratio = [[step, 1 + 6 * (1 - math.exp(-step / 40)) * math.exp(dice.gauss(0, 0.12))] for step in range(1, 201)]
    return (
        {
            "kind": "lines",
            "title": "Effective sample size",
            "x": "step",
            "y": "share of the batch",
            "section": "weights",
            "series": [{"name": "lost_reweighted", "points": ess}],
        },
        {
            "kind": "lines",
            "title": "Largest weight over smallest",
            "x": "step",
            "y": "ratio",
            "section": "weights",
            "log_y": True,
            "series": [{"name": "lost_reweighted", "points": ratio}],
        },
    )


def planted() -> dict[str, Any]:
    return {
        "kind": "table",
        "title": "Found among the planted",
        "section": "faults",
        "columns": ["fault", "planted", "found", "recall", "precision"],
        "units": [None, None, None, "percent", "percent"],
        "rows": [
            ["exact copies", 180, 180, 1.0, 1.0],
            ["near copies", 410, 402, 0.9805, 0.995],
            ["wrong language", 120, 118, 0.9833, 0.9147],
            ["gibberish", 60, 60, 1.0, 0.98],
            ["repetition", 120, 120, 1.0, 0.9756],
            ["boilerplate", 90, None, None, None],
            ["leak", 12, None, None, None],
        ],
        "note": "Boilerplate and leaks are planted for nodes that this recipe does not have.",
    }


def gradients(dice: random.Random) -> dict[str, Any]:
    """Names too long to stand beside their lines."""
    names = ("Llama 1m", "Lost 1m, rank 16, density 0.05", "Lost 1m, rank 16, density 0.05, LinUpper r 1")
    series = [
        {"name": name, "points": [[step, (i + 1) * math.exp(dice.gauss(0, 0.1))] for step in range(1, 201)]}
        for i, name in enumerate(names)
    ]
    return {"kind": "lines", "title": "Gradient norm", "x": "step", "y": "before clipping", "series": series}
