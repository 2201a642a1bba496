"""Figures that are HTML rather than drawings: tables, texts, and two texts side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

from pipeline.report import numbers
from pipeline.report.difference import TextSpan, compared
from pipeline.report.figures import Diff, Figure, TableFigure, Text
from pipeline.report.markup import element
from pipeline.safe_text import ELLIPSIS, clipped

ROWS = 200  # of a table that are shown
LINES = 60  # of a text
CELL = 160  # letters of a cell

Cell = str | float | None


def table(figure: TableFigure) -> Markup:
    """Numbers to the right under one unit and one number of decimals a column, the best of a column in bold."""
    columns, rows = figure["columns"], figure["rows"]
    units = figure.get("units") or [None] * len(columns)
    best = figure.get("best") or [None] * len(columns)
    written, numeric = [], []
    for number in range(len(columns)):
        cells = [row[number] for row in rows]
        written.append(_column(cells, units[number], best[number]))
        numeric.append(any(_is_number(cell) for cell in cells))
    head = [
        element("th", clipped(name, CELL), scope="col", class_="number" if right else None)
        for name, right in zip(columns, numeric, strict=True)
    ]
    body = []
    for number in range(min(len(rows), ROWS)):
        cells = [
            element(
                "th" if not column else "td",
                written[column][number],
                class_=_heat(rows[number][column]) if column and figure.get("heat") else "number" if right else None,
                scope=None if column else "row",
            )
            for column, right in enumerate(numeric)
        ]
        body.append(element("tr", *cells))
    if len(rows) > ROWS:
        more = f"{ELLIPSIS} and {len(rows) - ROWS:,} more rows"
        body.append(element("tr", element("td", more, colspan=len(columns), class_="quiet")))
    note = clipped(figure.get("note") or "", 400)
    caption = element("caption", clipped(figure["title"], CELL), *([element("small", note)] if note else []))
    inner = [caption, element("thead", element("tr", *head)), element("tbody", *body)]
    return scrolled(element("table", *inner), figure["title"])


def _heat(cell: Cell) -> str:
    """The class of a shaded cell: eleven shades from 0 to 1."""
    return f"number heat-{round(10 * min(1.0, max(0.0, cell)))}" if isinstance(cell, int | float) else "number"


def text(figure: Text) -> Markup:
    """Lines in a fixed-width font, as they are."""
    shown = [clipped(line, 400) for line in figure["lines"][:LINES]]
    if len(figure["lines"]) > LINES:
        shown.append(f"{ELLIPSIS} and {len(figure['lines']) - LINES:,} more lines")
    return element("pre", "\n".join(shown), class_="text", dir="auto")


def diff(figure: Diff) -> Markup:
    """Two texts beside each other; the words that only one of them has are marked."""
    return side_by_side(figure["left"], figure["right"], figure["left_label"], figure["right_label"])


def side_by_side(left: str, right: str, left_label: str, right_label: str) -> Markup:
    left_spans, right_spans, _ = compared(left, right)
    halves = [
        element("div", element("h5", clipped(label, CELL)), element("p", *_marked(spans, tag), dir="auto"))
        for label, spans, tag in ((left_label, left_spans, "del"), (right_label, right_spans, "ins"))
    ]
    return element("div", *halves, class_="diff")


def chart_numbers(figure: Figure) -> Markup:
    """A chart's numbers as a table, for those who cannot see it or want them; long series are sampled."""
    columns: list[str]
    units: list[str | None] | None = None
    if figure["kind"] == "histogram":
        columns, edges, removed = ["from", "to", "count"], figure["edges"], figure.get("removed")
        rows = [[edges[i], edges[i + 1], count] for i, count in enumerate(figure["counts"])]
        if removed:
            columns.append("removed")
            rows = [[*row, gone] for row, gone in zip(rows, removed, strict=True)]
        rows = _sampled(rows, 60)
    elif figure["kind"] == "lines":
        columns = ["series", figure["x"], figure["y"]]
        rows = [[one["name"], *point] for one in figure["series"] for point in _sampled(one["points"], 25)]
    else:
        assert figure["kind"] == "bars", "a chart"
        columns, units = ["name", "value"], [None, figure.get("unit")]
        rows = list(zip(figure["labels"], figure["values"], strict=True))
    return table({"kind": "table", "title": figure["title"], "columns": columns, "rows": rows, "units": units})


def scrolled(inner: str, label: str) -> Markup:
    """A region of its own that scrolls sideways where the page is too narrow, reachable with the keyboard."""
    return element("div", inner, class_="scroll", role="region", aria_label=clipped(label, CELL), tabindex=0)


def _column(cells: Sequence[Cell], unit: str | None, best: str | None) -> list[Markup | str]:
    values = [cell for cell in cells if isinstance(cell, int | float)]
    winner = {"min": min, "max": max}[best](values) if best and len(values) > 1 else None
    decimals = _decimals(values) if unit not in ("bytes", "percent") else None
    written: list[Markup | str] = []
    for cell in cells:
        if cell is None:
            written.append("–")
        elif isinstance(cell, str):
            written.append(clipped(cell, CELL))
        else:
            shown = numbers.with_unit(cell, unit)
            if decimals is not None:
                shown = numbers.fixed(cell, decimals) + (numbers.SPACE + unit if unit else "")
            written.append(element("b", shown) if cell == winner else shown)
    return written


def _decimals(values: Sequence[float]) -> int | None:
    """Decimals that show the largest number of a column to four digits; None where that would hide the smallest."""
    if not values or all(isinstance(value, int) for value in values):
        return None
    sizes = [math.floor(math.log10(abs(value))) for value in values if value]
    if not sizes or max(sizes) - min(sizes) > 3 or max(sizes) > 9 or max(sizes) < -3:
        return None
    return max(0, 3 - max(sizes))


def _marked(spans: Sequence[TextSpan], tag: str) -> list[Markup]:
    """Each span in its element; the spacing behind a marked word stands outside of the mark."""
    kinds = {"same": "span", "changed": tag, "skipped": "i"}
    marked: list[Markup] = []
    for span in spans:
        words = span.text.rstrip()
        marked += [element(kinds[span.kind], words) + escape(span.text[len(words) :])]
    return marked


def _sampled(rows: Sequence[Sequence[Cell]], most: int) -> list[Sequence[Cell]]:
    """At most so many rows, evenly, with the first and the last."""
    if len(rows) <= most:
        return list(rows)
    return [rows[round(i * (len(rows) - 1) / (most - 1))] for i in range(most)]


def _is_number(cell: Cell) -> bool:
    return isinstance(cell, int | float)
