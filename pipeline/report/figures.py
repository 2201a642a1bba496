"""The figures that nodes describe, as types, and the check that a description is one of them.

Any node describes figures as JSON, also a user's own. So each description is checked before it is drawn, and a figure
that cannot be drawn loses its own place on the page and spoils nothing else. Authors read `docs/figures.md`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic takes typing's own from Python 3.12 on

from pipeline.errors import UserError


def _finite(value: float) -> float:
    _must(abs(value) <= 1e300, "not a finite number")  # beyond it differences overflow; NaN is not below it either
    return value


def _must(holds: bool, found: str) -> None:
    if not holds:
        raise ValueError(found)


Number = Annotated[float, Field(strict=True), AfterValidator(_finite)]
Text_ = Annotated[str, Field(strict=True)]
Name = Annotated[str, StringConstraints(strict=True, min_length=1)]
Cell = Text_ | Number | None
Flag = Annotated[bool, Field(strict=True)]


class FigureError(UserError):
    """A figure description that cannot be drawn."""


class Titled(TypedDict):
    """What every figure may say."""

    title: Name
    note: NotRequired[Text_ | None]
    section: NotRequired[Name | None]
    about: NotRequired[Text_ | None]  # one sentence under the section's heading


class ChartMark(TypedDict):
    """A vertical line at `x`; `removed` tells on which side of it things were removed."""

    x: Number
    label: Text_
    removed: NotRequired[Literal["below", "above"] | None]


class Series(TypedDict):
    name: Text_
    points: Sequence[tuple[Number, Number]]
    dots: NotRequired[Flag]
    faint: NotRequired[Flag]


class Histogram(Titled):
    kind: Literal["histogram"]
    x: Text_
    edges: Sequence[Number]
    counts: Annotated[Sequence[Number], Field(min_length=1)]
    removed: NotRequired[Sequence[Number] | None]  # how many of each bin were removed
    marks: NotRequired[Sequence[ChartMark] | None]
    log_x: NotRequired[Flag]
    log_y: NotRequired[Flag]


class LineChart(Titled):
    kind: Literal["lines"]
    x: Text_
    y: Text_
    series: Annotated[Sequence[Series], Field(min_length=1)]
    marks: NotRequired[Sequence[ChartMark] | None]
    log_x: NotRequired[Flag]
    log_y: NotRequired[Flag]
    y_range: NotRequired[tuple[Number, Number] | None]
    smooth: NotRequired[Flag]  # draw moving averages over the values, from where the series begin to differ


class Bars(Titled):
    kind: Literal["bars"]
    labels: Sequence[Text_]
    values: Sequence[Number]
    unit: NotRequired[Text_ | None]
    marks: NotRequired[Sequence[ChartMark] | None]


class TableFigure(Titled):
    kind: Literal["table"]
    columns: Sequence[Text_]
    rows: Sequence[Sequence[Cell]]
    units: NotRequired[Sequence[Text_ | None] | None]
    best: NotRequired[Sequence[Literal["min", "max"] | None] | None]
    highlight: NotRequired[Annotated[int, Field(strict=True)]]
    heat: NotRequired[Flag]  # shade the numbers of all columns but the first, 0 pale and 1 full


class Text(Titled):
    kind: Literal["text"]
    lines: Sequence[Text_]


class Diff(Titled):
    kind: Literal["diff"]
    left: Text_
    right: Text_
    left_label: Text_
    right_label: Text_


def _histogram(figure: Histogram) -> Histogram:
    edges, counts = figure["edges"], figure["counts"]
    _must(len(edges) == len(counts) + 1, f"{len(edges)} edges for {len(counts)} counts; one edge more than counts")
    _must(all(a < b for a, b in pairwise(edges)), "edges that do not rise")
    _must(min(counts) >= 0, "a negative count")
    _must(not figure.get("log_x") or edges[0] > 0, f"a log axis from {edges[0]:g}")
    removed = figure.get("removed")
    if removed is not None:
        _must(len(removed) == len(counts), f"{len(removed)} removed for {len(counts)} counts")
        _must(all(0 <= r <= c for r, c in zip(removed, counts, strict=True)), "more removed than counted in a bin")
    return figure


def _lines(figure: LineChart) -> LineChart:
    low, high = figure.get("y_range") or (1, 2)
    _must(low < high, f"`y_range` [{low:g}, {high:g}]; a low and a higher number")
    _must(not figure.get("log_y") or low > 0, f"a log axis from {low:g}")
    for point in (point for series in figure["series"] for point in series["points"]):
        for axis, value in zip(("log_x", "log_y"), point, strict=True):
            _must(not figure.get(axis) or value > 0, f"{value:g} on a log axis")
    return figure


def _bars(figure: Bars) -> Bars:
    labels, values = figure["labels"], figure["values"]
    _must(len(labels) == len(values), f"{len(labels)} labels for {len(values)} values")
    return figure


def _table(figure: TableFigure) -> TableFigure:
    columns = len(figure["columns"])
    for row in figure["rows"]:
        _must(len(row) == columns, f"{len(row)} cells for {columns} columns")
    for name in ("units", "best"):
        entries = figure.get(name)
        _must(not entries or len(entries) == columns, f"{len(entries or ())} {name} for {columns} columns")
    return figure


Figure = Histogram | LineChart | Bars | TableFigure | Text | Diff
Checked = Annotated[
    Annotated[Histogram, AfterValidator(_histogram)]
    | Annotated[LineChart, AfterValidator(_lines)]
    | Annotated[Bars, AfterValidator(_bars)]
    | Annotated[TableFigure, AfterValidator(_table)]
    | Text
    | Diff,
    Field(discriminator="kind"),
]


def check(figure: Any, place: str = "figure") -> None:
    """Raise `FigureError` unless `figure` is of a kind above, with finite numbers and matching lengths."""
    if isinstance(figure, Mapping) and isinstance(figure.get("title"), str):
        place = f"{place} {figure['title']!r}"
    try:
        _adapter().validate_python(figure)
    except ValidationError as errors:
        first = errors.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:] if part not in ("str", "float"))
        shown = "" if not where or first["type"] == "missing" else f" is {first['input']!r:.60}"
        message = first["msg"].removeprefix("Value error, ")
        raise FigureError(
            place, (f"`{where}`{shown}: " if where else "") + message, "a figure as docs/figures.md describes it"
        ) from None


def problem(figure: Any) -> str:
    """Return why a figure cannot be drawn, or nothing when it can."""
    try:
        check(figure)
    except FigureError as error:
        return str(error)
    return ""


@cache
def _adapter() -> TypeAdapter[Any]:
    return TypeAdapter(Checked)
