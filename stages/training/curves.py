"""Curves of a training run as figures: thinned, over tokens seen."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

POINTS = 400  # of a curve; longer ones are thinned
SMOOTH = 25  # a moving average spans this part of a curve
EARLY = 8  # the first part of a loss curve, where all models fall alike, is not drawn

Points = list[list[float]]


def running_total(counts: Sequence[int]) -> list[int]:
    """Tokens seen at the end of each step."""
    return list(accumulate(counts))


def thin(xs: Sequence[float], ys: Sequence[float], points: int = POINTS) -> Points:
    """At most about `points` points of a curve, the last one always among them."""
    stride = max(1, -(-len(xs) // points))
    return [[xs[i], round(ys[i], 6)] for i in range(len(xs) - 1, -1, -stride)][::-1]


def smooth(points: Points) -> Points:
    """The mean of each point and those before it, over a span of 1/`SMOOTH` of the curve."""
    span = max(1, len(points) // SMOOTH)
    sums = [0.0, *accumulate(y for _, y in points)]
    first = [max(0, i + 1 - span) for i in range(len(points))]
    return [
        [x, round((sums[i + 1] - sums[j]) / (i + 1 - j), 6)]
        for i, (j, (x, _)) in enumerate(zip(first, points, strict=True))
    ]


def lines(title: str, y: str, series: Sequence[tuple[str, Points]], **more: Any) -> dict[str, Any]:
    """A `lines` figure over tokens; `more`: its optional fields (`docs/figures.md`)."""
    named = [{"name": name, "points": points} for name, points in series]
    return {"kind": "lines", "title": title, "x": "tokens", "y": y, "series": named, **more}


def loss_curves(title: str, series: Sequence[tuple[str, Points]], **more: Any) -> dict[str, Any]:
    """Losses as moving averages with the raw values faintly behind them, from where the models begin to differ."""
    smoothed = [(name, smooth(points)) for name, points in series]
    figure = lines(title, "nats per token", smoothed, **more)
    figure["series"] += [{"name": name, "points": points, "faint": True} for name, points in series]
    shown = [y for _, points in smoothed for _, y in points[len(points) // EARLY :]]
    margin = 0.05 * (max(shown) - min(shown))
    if margin:
        figure["y_range"] = [round(min(shown) - margin, 6), round(max(shown) + margin, 6)]
    return figure
