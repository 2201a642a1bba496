"""What the series of a chart are called: names at the ends of their lines where they are short, else above the chart.

A name beside its line needs no looking up; but the names of models can be as long as half a chart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from markupsafe import Markup

from pipeline.report.figures import Series
from pipeline.report.plot import LINE, Frame, element, fitted, join, text_width

COLOURS = 8  # series colours in the style sheet
BESIDE = 10  # names that have room beside a chart
ABOVE = 8  # rows of names above one
SAMPLE = 24  # width of the piece of line before a name


@dataclass(frozen=True)
class Palette:
    """A colour for every series: the same in every chart for names that several charts share (trained models)."""

    shared: Sequence[str] = ()

    def classes(self, names: Iterable[str]) -> dict[str, str]:
        """Name -> class in the style sheet, for one chart. Names of this chart alone take the first colours left."""
        numbers = {name: self.shared.index(name) for name in names if name in self.shared}
        for name in names:
            free = (number for number in count() if number not in numbers.values())
            numbers.setdefault(name, next(free))
        return {
            name: f"s{number % COLOURS}" + (" again" if number >= COLOURS else "") for name, number in numbers.items()
        }


def fits_beside(named: Sequence[Series], width: float) -> bool:
    """Whether the names are short and few enough to stand at the ends of their lines."""
    return len(named) <= BESIDE and all(text_width(one["name"]) <= width / 4 for one in named)


def beside_width(named: Sequence[Series]) -> float:
    """Room at the right for names at the ends of lines."""
    return max((text_width(one["name"]) for one in named), default=0) + 14


def beside(named: Sequence[Series], colours: Mapping[str, str], frame: Frame) -> Markup:
    """Names at the right, at the height of each series' last point, pushed apart where they would touch."""
    wanted = sorted((frame.at_y(max(one["points"], key=lambda p: p[0])[1]), one["name"]) for one in named)
    heights: list[float] = []
    for height, _ in wanted:
        heights.append(max(height, heights[-1] + LINE) if heights else height)
    over = heights[-1] - (frame.floor - 2)
    if over > 0:
        heights[-1] -= over
        for i in range(len(heights) - 2, -1, -1):
            heights[i] = min(heights[i], heights[i + 1] - LINE)
    return join(
        element(
            "text",
            name,
            class_=f"end {colours[name]}",
            x=frame.end + 7,
            y=height + 4,
        )
        for height, (_, name) in zip(heights, wanted, strict=True)
    )


def above_rows(named: Sequence[Series], width: float) -> list[list[tuple[float, Series]]]:
    """Rows of (x, series) that fill the width from the left; what is beyond `ABOVE` rows is not named."""
    rows: list[list[tuple[float, Series]]] = [[]]
    x = 0.0
    for one in named:
        need = SAMPLE + text_width(fitted(one["name"], width - SAMPLE)) + 18
        if rows[-1] and x + need - 18 > width:
            rows.append([])
            x = 0.0
        rows[-1].append((x, one))
        x += need
    return rows[:ABOVE]


def above(rows: Sequence[Sequence[tuple[float, Series]]], colours: Mapping[str, str], width: float) -> Markup:
    """A key over the chart: a piece of line, or a dot, and the name."""
    parts = []
    for number, row in enumerate(rows):
        y = 11 + number * LINE
        for x, one in row:
            colour = colours[one["name"]]
            if one.get("dots"):
                circle = element("circle", cx=x + 9, cy=y - 4, r=3.5)
                parts.append(element("g", circle, class_=f"dots {colour}"))
            else:
                parts.append(element("line", class_=f"line {colour}", x1=x, x2=x + 18, y1=y - 4, y2=y - 4))
            name = fitted(one["name"], width - SAMPLE)
            parts.append(element("text", name, class_="label", x=x + SAMPLE, y=y))
    return join(parts)
