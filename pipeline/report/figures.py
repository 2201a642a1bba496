"""The figure descriptions that nodes hand in, as types, and the check that a figure is one of them.

The descriptions are JSON made by any node, a user's own included, so they are checked before they are drawn: a
figure that cannot be drawn costs its own place on the page, never the page. Authors read `docs/figures.md`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, NotRequired, TypedDict

from pipeline.errors import UserError

SECTIONS = ("scores", "duplicates", "tokens", "training", "weights", "models", "samples", "faults")
LARGEST = 1e300  # beyond it differences overflow; NaN is not below it either


class FigureError(UserError):
    """A figure description that cannot be drawn."""


class Titled(TypedDict):
    """What every figure may say."""

    title: str
    note: NotRequired[str]
    section: NotRequired[str]


class Mark(TypedDict):
    """A vertical line at `x`; `removed` tells on which side of it things were removed."""

    x: float
    label: str
    removed: NotRequired[Literal["below", "above"]]


class Series(TypedDict):
    name: str
    points: Sequence[Sequence[float]]
    dots: NotRequired[bool]
    faint: NotRequired[bool]


class Histogram(Titled):
    kind: Literal["histogram"]
    x: str
    edges: Sequence[float]
    counts: Sequence[float]
    marks: NotRequired[Sequence[Mark]]
    log_x: NotRequired[bool]
    log_y: NotRequired[bool]


class Lines(Titled):
    kind: Literal["lines"]
    x: str
    y: str
    series: Sequence[Series]
    marks: NotRequired[Sequence[Mark]]
    log_x: NotRequired[bool]
    log_y: NotRequired[bool]
    y_range: NotRequired[Sequence[float]]


class Bars(Titled):
    kind: Literal["bars"]
    labels: Sequence[str]
    values: Sequence[float]
    unit: NotRequired[str | None]


class Table(Titled):
    kind: Literal["table"]
    columns: Sequence[str]
    rows: Sequence[Sequence[str | float | None]]
    units: NotRequired[Sequence[str | None]]
    best: NotRequired[Sequence[Literal["min", "max"] | None]]
    highlight: NotRequired[int]


class Text(Titled):
    kind: Literal["text"]
    lines: Sequence[str]


class Diff(Titled):
    kind: Literal["diff"]
    left: str
    right: str
    left_label: str
    right_label: str


Figure = Histogram | Lines | Bars | Table | Text | Diff

FIELDS: Mapping[str, Mapping[str, type]] = {
    "histogram": {"x": str, "edges": list, "counts": list},
    "lines": {"x": str, "y": str, "series": list},
    "bars": {"labels": list, "values": list},
    "table": {"columns": list, "rows": list},
    "text": {"lines": list},
    "diff": {"left": str, "right": str, "left_label": str, "right_label": str},
}


def check(figure: Any, place: str = "figure") -> None:
    """Raise `FigureError` unless `figure` is of a kind above, with finite numbers and matching lengths."""
    _must(isinstance(figure, Mapping), place, f"a {type(figure).__name__}", "an object")
    title, kind = figure.get("title"), figure.get("kind")
    _must(isinstance(title, str) and bool(title), place, "no title", "a text `title`")
    place = f"{place} {title!r}"
    _must(kind in FIELDS, place, f"kind {kind!r}", "one of " + ", ".join(FIELDS))
    _must(
        figure.get("section") in (None, *SECTIONS),
        place,
        f"section {figure.get('section')!r}",
        "one of " + ", ".join(SECTIONS),
    )
    for name, wanted in FIELDS[kind].items():
        value = figure.get(name)
        fits = isinstance(value, str) if wanted is str else _is_list(value)
        _must(fits, place, f"`{name}` is a {type(value).__name__}", f"a {'text' if wanted is str else 'list'}")
    for name in ("note", "unit"):
        value = figure.get(name)
        _must(value is None or isinstance(value, str), place, f"`{name}` is a {type(value).__name__}", "a text")
    marks = figure.get("marks")
    _must(marks is None or _is_list(marks), place, f"`marks` is a {type(marks).__name__}", "a list")
    for mark in marks or ():
        _must(
            isinstance(mark, Mapping) and _number(mark.get("x")) and isinstance(mark.get("label"), str),
            place,
            f"mark {mark!r}",
            "a number `x` and a text `label`",
        )
    SHAPES[kind](figure, place)


def problem(figure: Any) -> str:
    """Why a figure cannot be drawn; empty when it can."""
    try:
        check(figure)
    except FigureError as error:
        return str(error)
    return ""


def _histogram(figure: Histogram, place: str) -> None:
    edges, counts = figure["edges"], figure["counts"]
    _numbers(edges, place, "edges")
    _numbers(counts, place, "counts")
    _must(
        len(edges) == len(counts) + 1 and len(counts) > 0,
        place,
        f"{len(edges)} edges for {len(counts)} counts",
        "one edge more than counts, and at least one count",
    )
    _must(all(a < b for a, b in pairwise(edges)), place, "edges that do not rise", "rising edges")
    _must(all(count >= 0 for count in counts), place, "a negative count", "counts of at least 0")
    _must(not figure.get("log_x") or edges[0] > 0, place, f"a log axis from {edges[0]}", "edges above 0")


def _lines(figure: Lines, place: str) -> None:
    _must(len(figure["series"]) > 0, place, "no series", "at least one")
    span = figure.get("y_range")
    if span is not None:
        _numbers(span, place, "y_range")
        _must(len(span) == 2 and span[0] < span[1], place, f"`y_range` {span!r}", "a low and a higher number")
        _must(not figure.get("log_y") or span[0] > 0, place, f"a log axis from {span[0]}", "a number above 0")
    for series in figure["series"]:
        _must(
            isinstance(series, Mapping) and isinstance(series.get("name"), str) and _is_list(series.get("points")),
            place,
            "a series without name or points",
            "`name` and `points`",
        )
        for point in series["points"]:
            _must(
                _is_list(point) and len(point) == 2 and all(map(_number, point)),
                place,
                f"point {point!r} in {series['name']!r}",
                "two finite numbers",
            )
            for axis, value in zip(("log_x", "log_y"), point, strict=True):
                _must(not figure.get(axis) or value > 0, place, f"{value} on a log axis", "numbers above 0")


def _bars(figure: Bars, place: str) -> None:
    _numbers(figure["values"], place, "values")
    _same_length(figure["labels"], figure["values"], place, "labels", "values")


def _table(figure: Table, place: str) -> None:
    for row in figure["rows"]:
        _must(_is_list(row), place, f"row {row!r}", "a list")
        _same_length(row, figure["columns"], place, "cells", "columns")
        for cell in row:
            _must(
                cell is None or isinstance(cell, str) or _number(cell),
                place,
                f"cell {cell!r}",
                "a text, a finite number or null",
            )
    for name, allowed in (("units", str), ("best", ("min", "max"))):
        values = figure.get(name)
        if values is not None:
            _must(_is_list(values), place, f"`{name}` is a {type(values).__name__}", "a list")
            _same_length(values, figure["columns"], place, name, "columns")
            for value in values:
                fits = isinstance(value, str) if allowed is str else value in allowed
                _must(value is None or fits, place, f"{value!r} in `{name}`", "null, or as docs/figures.md says")


def _text(figure: Text, place: str) -> None:
    _must(all(isinstance(line, str) for line in figure["lines"]), place, "a line that is no text", "texts")


def _diff(figure: Diff, place: str) -> None:
    """Its four texts are checked by name; nothing else can be wrong."""


SHAPES = {
    "histogram": _histogram,
    "lines": _lines,
    "bars": _bars,
    "table": _table,
    "text": _text,
    "diff": _diff,
}


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def _numbers(values: Sequence[Any], place: str, name: str) -> None:
    bad = next((value for value in values if not _number(value)), None)
    _must(all(map(_number, values)), place, f"{bad!r} in `{name}`", "finite numbers")


def _same_length(left: Sequence[Any], right: Sequence[Any], place: str, left_name: str, right_name: str) -> None:
    _must(
        len(left) == len(right),
        place,
        f"{len(left)} {left_name} for {len(right)} {right_name}",
        "as many of both",
    )


def _must(holds: bool, place: str, found: str, expected: str) -> None:
    if not holds:
        raise FigureError(place, found, expected)
