"""Figure descriptions as inline SVG: one function per kind of chart. Tables and texts are in `panels`.

A chart is drawn for a width: the same figure is drawn once narrow and once wide where it has a row for itself, since
the letters of a drawing that is scaled to fit a telephone cannot be read.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from pipeline.report import numbers, ticks
from pipeline.report.figures import Bars, Histogram, Lines, Mark, Series
from pipeline.report.legend import Palette, above, above_rows, beside, beside_width, fits_beside
from pipeline.report.plot import LINE, MARKS, Frame, drawing, element, fitted, join, text_width

NARROW, WIDE = 460, 940


def histogram(figure: Histogram, width: int = NARROW) -> Markup:
    """Bars side by side; those beyond a mark that removes are drawn as removed."""
    edges, counts, marks = figure["edges"], figure["counts"], figure.get("marks") or ()
    top = max(counts)
    if figure.get("log_y") and top > 0:
        y = ticks.logarithmic(0.8 * min(1, min(count for count in counts if count)), max(top * 1.3, 2))
    else:
        y = ticks.linear(0, top * 1.06 or 1, whole=all(isinstance(count, int) for count in counts))
    low = min([edges[0], *(mark["x"] for mark in marks)])
    high = max([edges[-1], *(mark["x"] for mark in marks)])
    x = ticks.logarithmic(low, high) if figure.get("log_x") and low > 0 else ticks.linear(low, high, 6)
    frame = _frame(width, x, y, marks)
    total = sum(counts)
    bars = []
    for start, stop, count in zip(edges, edges[1:], counts, strict=False):
        if count == 0:
            continue
        left, right, top_y = frame.at_x(start), frame.at_x(stop), frame.at_y(count)
        gap = min(1.0, (right - left) / 6)
        span = f"{numbers.plain(start)} to {numbers.plain(stop)}"
        words = f"{span}: {numbers.count(count)} ({numbers.percent(count / total)})"
        bars.append(
            element(
                "rect",
                element("title", words),
                class_="gone" if _removed((start + stop) / 2, marks) else "bar",
                x=left + gap / 2,
                y=min(top_y, frame.floor - 1.0),
                width=max(right - left - gap, 0.8),
                height=max(frame.floor - top_y, 1.0),
            )
        )
    label = f"{figure['title']}: histogram of {numbers.count(total)} values of {figure['x']}"
    body = join([frame.axes(figure["x"], "count"), *bars, frame.marks(marks)])
    return frame.svg(body, _sentence(label, marks))


def lines(figure: Lines, palette: Palette, width: int = NARROW) -> Markup:
    """Lines and dots over one pair of axes, each named at its end in its colour."""
    marks = figure.get("marks") or ()
    series = _inside(figure)
    points = [point for one in series for point in one["points"]] or [[1.0, 1.0]]
    xs = [point[0] for point in points] + [mark["x"] for mark in marks]
    ys = [point[1] for point in points]
    named = [one for one in series if not one.get("faint")]
    colours = palette.classes([one["name"] for one in figure["series"]])
    short = fits_beside(named, width)
    rows = above_rows(named, width) if len(named) > 1 and not short else []
    space = beside_width(named) if len(named) > 1 and short else 14
    low, high = figure.get("y_range") or _padded(min(ys), max(ys), bool(figure.get("log_y")))
    y = ticks.logarithmic(low, high) if figure.get("log_y") else ticks.linear(low, high)
    x = ticks.logarithmic(min(xs), max(xs)) if figure.get("log_x") else ticks.linear(min(xs), max(xs), 6)
    frame = _frame(width, x, y, marks, space, len(rows) * LINE + (8 if rows else 0))
    body = [frame.axes(figure["x"], figure["y"]), frame.marks(marks)]
    body += [_series(one, colours[one["name"]], frame) for one in sorted(series, key=lambda one: not one.get("faint"))]
    if rows:
        body.append(above(rows, colours, width))
    elif len(named) > 1:
        body.append(beside(named, colours, frame))
    body.append(element("line", class_="rule"))  # the page's script moves it under the pointer
    label = f"{figure['title']}: {figure['y']} over {figure['x']}, " + ", ".join(map(_summary, named))
    axes = {
        "data_x": f"{x.low},{x.high},{int(x.log)},{frame.left:.1f},{frame.end:.1f}",
        "data_y": f"{y.low},{y.high},{int(y.log)},{frame.floor:.1f},{frame.top:.1f}",
    }
    return frame.svg(join(body), _sentence(label, marks), **axes)


def bars(figure: Bars, width: int = NARROW) -> Markup:
    """One bar per label, lying, from zero, with its value behind it."""
    values, unit = figure["values"], figure.get("unit")
    written = [numbers.with_unit(value, unit) for value in values]
    left = min(max(map(text_width, figure["labels"]), default=0), width * 0.36) + 10
    space = max(map(text_width, written), default=0) + 10
    axis = ticks.linear(min(0, *values), max(0, *values)) if len(values) else ticks.linear(0, 1)
    if axis.low < 0 < axis.high or axis.high == 0:
        left += space
    span = width - left - space
    zero = left + axis.place(0) * span
    row, parts = 27, []
    for number, (name, value, shown) in enumerate(zip(figure["labels"], values, written, strict=True)):
        y, end = number * row + 4, left + axis.place(value) * span
        behind = end + 7 if value >= 0 else end - 7
        parts += [
            element("text", fitted(name, width * 0.36), class_="label", x=0, y=y + 14),
            element(
                "rect",
                element("title", f"{name}: {shown}"),
                class_="bar",
                x=min(zero, end),
                y=float(y),
                width=max(abs(end - zero), 1.0),
                height=19,
                rx=2,
            ),
            element("text", shown, class_="value", x=behind, y=y + 14, text_anchor="start" if value >= 0 else "end"),
        ]
    parts.append(element("line", class_="axis", x1=zero, x2=zero, y1=0, y2=row * len(values)))
    shown = "; ".join(f"{name} {value}" for name, value in zip(figure["labels"], written, strict=True))
    return drawing(width, max(row * len(values), row), join(parts), f"{figure['title']}: {shown}"[:600])


def _frame(
    width: int, x: ticks.Axis, y: ticks.Axis, marks: Sequence[Mark], right: float = 14, head: float = 0
) -> Frame:
    """Room for tick labels at the left, marks and a key (`head`) above, so that the plot itself keeps its size."""
    left = max((text_width(label) for _, label in y.ticks), default=0) + 10
    top = 24 + LINE * min(len(marks), MARKS) + head
    return Frame(width, (246 if width <= NARROW else 306) + top, left, right, top, 42, x, y, head)


def _inside(figure: Lines) -> list[Series]:
    """The series with the points that lie inside `y_range`; those without any are left out."""
    low, high = figure.get("y_range") or (float("-inf"), float("inf"))
    kept: list[Series] = [
        {**one, "points": [point for point in one["points"] if low <= point[1] <= high]} for one in figure["series"]
    ]
    return [one for one in kept if one["points"]]


def _padded(low: float, high: float, log: bool) -> tuple[float, float]:
    """A little air above and below; an axis that nearly begins at zero does begin there."""
    if log:
        return low / 1.1, high * 1.1
    air = 0.05 * (high - low)
    if 0 <= low <= 0.15 * high:
        return 0, high + air
    return low - air, high + air


def _series(series: Series, colour: str, frame: Frame) -> Markup:
    at = [(frame.at_x(x), frame.at_y(y)) for x, y in series["points"]]
    if series.get("dots"):
        dots = [
            element(
                "circle",
                element("title", f"{series['name']}: {numbers.plain(x)}, {numbers.plain(y)}"),
                cx=px,
                cy=py,
                r=3.5,
            )
            for (x, y), (px, py) in zip(series["points"], at, strict=True)
        ]
        return element("g", *dots, class_=f"dots {colour}")
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in _thinned(at))
    if series.get("faint"):
        return element("polyline", class_=f"line faint {colour}", points=path)
    return element("polyline", class_=f"line {colour}", points=path, data_name=series["name"])


def _thinned(at: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most first, least, greatest and last of each column of one unit (M4, Jugel et al. 2014): looks the same."""
    columns: dict[int, list[tuple[float, float]]] = {}
    for point in at:
        columns.setdefault(int(point[0]), []).append(point)
    kept: list[tuple[float, float]] = []
    for column in columns.values():
        chosen = {0, len(column) - 1}
        chosen.add(min(range(len(column)), key=lambda i: column[i][1]))
        chosen.add(max(range(len(column)), key=lambda i: column[i][1]))
        kept += [column[i] for i in sorted(chosen)]
    return kept


def _removed(x: float, marks: Sequence[Mark]) -> bool:
    sides = ((mark.get("removed"), mark["x"]) for mark in marks)
    return any((side == "below" and x < at) or (side == "above" and x > at) for side, at in sides)


def _summary(series: Series) -> str:
    last = max(series["points"], key=lambda point: point[0])
    return f"{series['name']} ends at {numbers.plain(last[1])}"


def _sentence(label: str, marks: Sequence[Mark]) -> str:
    return label + "".join(f"; {mark['label']} at {numbers.plain(mark['x'])}" for mark in marks)
