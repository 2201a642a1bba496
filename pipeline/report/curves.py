"""Noisy curves, as losses are: moving averages in front, the values themselves faintly behind them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from pipeline.report.figures import Lines, Series

SPAN = 25  # a moving average spans this part of a curve
EARLY = 8  # the first part of a curve, where all models fall alike, does not decide the range that is drawn

Points = Sequence[Sequence[float]]


def smoothed(figure: Lines) -> Lines:
    """Return the figure with the series averaged, drawn over their raw values, from where they begin to differ."""
    averages = [(one, moving_average(one["points"])) for one in figure["series"]]
    curves = [*(points for _, points in averages), *(one["points"] for one in figure["series"])]
    late = [y for points in curves for _, y in points[len(points) // EARLY :]]
    margin = 0.05 * (max(late) - min(late)) if late else 0
    front: list[Series] = [{**one, "points": points} for one, points in averages]
    behind: list[Series] = [{**one, "faint": True} for one in figure["series"]]
    span = {"y_range": (min(late) - margin, max(late) + margin)} if margin and not figure.get("y_range") else {}
    return {**figure, "series": [*front, *behind], **span}  # type: ignore[typeddict-item]


def moving_average(points: Points) -> list[tuple[float, float]]:
    """Return the mean of each point and those before it, over 1/`SPAN` of the curve."""
    span = max(1, len(points) // SPAN)
    sums = [0.0, *accumulate(y for _, y in points)]
    first = [max(0, i + 1 - span) for i in range(len(points))]
    return [(x, (sums[i + 1] - sums[j]) / (i + 1 - j)) for i, (j, (x, _)) in enumerate(zip(first, points, strict=True))]
