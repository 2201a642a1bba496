"""Noisy curves, as losses are: moving averages in front, the values themselves faintly behind them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from pipeline.report.figures import LineChart, Series

SPAN = 25  # a moving average spans this part of a curve
EARLY = 8  # the first part of a curve, where all models fall alike, does not decide the range that is drawn
COLUMNS = 600  # a screen's worth of them is told apart

Points = Sequence[Sequence[float]]


def drawable(figure: LineChart) -> LineChart:
    """Return the figure as it is drawn: smoothed if it asks for it, and no series with more points than one can see."""
    figure = smoothed(figure) if figure.get("smooth") else figure
    series: list[Series] = [{**one, "points": thinned(one["points"])} for one in figure["series"]]
    return {**figure, "series": series}


def smoothed(figure: LineChart) -> LineChart:
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


def thinned(points: Points) -> Sequence[tuple[float, float]]:
    """At most first, least, greatest and last of each of `COLUMNS` columns (M4, Jugel et al. 2014): looks the same."""
    if len(points) <= 4 * COLUMNS:
        return points  # type: ignore[return-value]
    low, high = min(x for x, _ in points), max(x for x, _ in points)
    columns: dict[int, list[tuple[float, float]]] = {}
    for x, y in points:
        columns.setdefault(int(COLUMNS * (x - low) / (high - low or 1)), []).append((x, y))
    kept: list[tuple[float, float]] = []
    for column in columns.values():
        chosen = {0, len(column) - 1}
        chosen.add(min(range(len(column)), key=lambda i: column[i][1]))
        chosen.add(max(range(len(column)), key=lambda i: column[i][1]))
        kept += [column[i] for i in sorted(chosen)]
    return kept
