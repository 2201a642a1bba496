"""Which figure descriptions are refused, and the sentence that says why."""

from __future__ import annotations

import pytest
import report_sample

from pipeline.report.figures import FigureError, check

HISTOGRAM = {"kind": "histogram", "title": "t", "x": "x", "edges": [0, 1, 2], "counts": [3, 4]}
LINES = {"kind": "lines", "title": "t", "x": "x", "y": "y", "series": [{"name": "a", "points": [[1, 2], [2, 3]]}]}
TABLE = {"kind": "table", "title": "t", "columns": ["a", "b"], "rows": [["x", 1.5], ["y", None]]}
BARS = {"kind": "bars", "title": "t", "labels": ["a"], "values": [1]}


def test_the_figures_of_the_sample_are_accepted():
    data = report_sample.report()
    figures = [*data.figures, *(figure for node in data.nodes for figure in node.figures)]
    assert {figure["kind"] for figure in figures} == {"histogram", "lines", "bars", "table", "text", "diff"}
    for figure in figures:
        check(figure)


@pytest.mark.parametrize(
    ("figure", "says"),
    [
        ("text", "a str; expected an object"),
        ({"kind": "bars"}, "no title"),
        ({"kind": "pie", "title": "t"}, "kind 'pie'; expected one of histogram, lines"),
        (BARS | {"section": "elsewhere"}, "section 'elsewhere'; expected one of scores"),
        (BARS | {"values": [1, 2]}, "1 labels for 2 values"),
        (BARS | {"values": [float("nan")]}, "nan in `values`; expected finite numbers"),
        (BARS | {"values": [10**400]}, "in `values`; expected finite numbers"),
        (BARS | {"values": ["1"]}, "'1' in `values`"),
        (BARS | {"values": "1"}, "`values` is a str; expected a list"),
        (HISTOGRAM | {"edges": [0, 1]}, "2 edges for 2 counts"),
        (HISTOGRAM | {"edges": [0, 2, 1]}, "edges that do not rise"),
        (HISTOGRAM | {"counts": [1, -1]}, "a negative count"),
        (HISTOGRAM | {"log_x": True}, "a log axis from 0"),
        (HISTOGRAM | {"marks": [{"x": "0.5", "label": "cut"}]}, "mark {'x': '0.5'"),
        (LINES | {"series": []}, "no series"),
        (LINES | {"series": [{"name": "a"}]}, "a series without name or points"),
        (LINES | {"series": [{"name": "a", "points": [[1, float("inf")]]}]}, "two finite numbers"),
        (LINES | {"series": [{"name": "a", "points": [[1, 0]]}], "log_y": True}, "0 on a log axis"),
        (LINES | {"y_range": [2, 1]}, "`y_range` [2, 1]; expected a low and a higher number"),
        (TABLE | {"rows": [["x"]]}, "1 cells for 2 columns"),
        (TABLE | {"rows": [["x", {}]]}, "cell {}"),
        (TABLE | {"units": [None]}, "1 units for 2 columns"),
        (TABLE | {"best": [None, "most"]}, "'most' in `best`"),
        (TABLE | {"units": 5}, "`units` is a int; expected a list"),
        (TABLE | {"note": 5}, "`note` is a int; expected a text"),
        (BARS | {"marks": 5}, "`marks` is a int; expected a list"),
        ({"kind": "text", "title": "t", "lines": [1]}, "a line that is no text"),
        ({"kind": "diff", "title": "t", "left": "a", "right": "b", "left_label": "c"}, "`right_label` is a NoneType"),
    ],
)
def test_what_cannot_be_drawn_is_refused(figure, says):
    with pytest.raises(FigureError) as raised:
        check(figure, "node clean, figure 2")
    assert says in str(raised.value)
    assert str(raised.value).startswith("node clean, figure 2")
