"""What a chart shows in a sentence, for those who cannot see it; its numbers stand in a table under it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.report import numbers
from pipeline.report.figures import ChartMark
from pipeline.safe_text import clipped

LETTERS = 600


def sentence(figure: Any) -> str:
    """Title, axes, where curves end, where marks stand."""
    title, marks = figure["title"], figure.get("marks") or ()
    if figure["kind"] == "histogram":
        label = f"{title}: histogram of {numbers.count(sum(figure['counts']))} values of {figure['x']}"
        if gone := sum(figure.get("removed") or ()):
            label += f", {numbers.count(gone)} of them removed"
    elif figure["kind"] == "lines":
        ends = [
            f"{one['name']} ends at {numbers.plain(max(one['points'], key=lambda point: point[0])[1])}"
            for one in figure["series"]
            if one["points"] and not one.get("faint")
        ]
        label = f"{title}: {figure['y']} over {figure['x']}, {', '.join(ends)}"
    else:
        pairs = zip(figure["labels"], figure["values"], strict=True)
        label = f"{title}: " + "; ".join(
            f"{name} {numbers.with_unit(value, figure.get('unit'))}" for name, value in pairs
        )
    return clipped(label + _marked(marks), LETTERS)


def _marked(marks: Sequence[ChartMark]) -> str:
    return "".join(f"; {mark['label']} at {numbers.plain(mark['x'])}" for mark in marks)
