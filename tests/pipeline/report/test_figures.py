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
        ("text", "a valid dictionary"),
        ({"kind": "bars"}, "`title`: Field required"),
        (
            {"kind": "pie", "title": "t"},
            "'pie' found using 'kind' does not match any of the expected tags: 'histogram', 'lines'",
        ),
        (BARS | {"section": ""}, "`section` is ''"),
        (BARS | {"values": [1, 2]}, "1 labels for 2 values"),
        (BARS | {"values": [float("nan")]}, "`values.0` is nan: not a finite number"),
        (BARS | {"values": [10**400]}, "`values.0` is 1000"),
        (BARS | {"values": ["1"]}, "`values.0` is '1'"),
        (BARS | {"values": "1"}, "`values` is '1': 'str' instances are not allowed"),
        (HISTOGRAM | {"edges": [0, 1]}, "2 edges for 2 counts"),
        (HISTOGRAM | {"edges": [0, 2, 1]}, "edges that do not rise"),
        (HISTOGRAM | {"counts": [1, -1]}, "a negative count"),
        (HISTOGRAM | {"log_x": True}, "a log axis from 0"),
        (HISTOGRAM | {"marks": [{"x": "0.5", "label": "cut"}]}, "`marks.0.x` is '0.5'"),
        (LINES | {"series": []}, "`series` is []"),
        (LINES | {"series": [{"name": "a"}]}, "`series.0.points`: Field required"),
        (
            LINES | {"series": [{"name": "a", "points": [[1, float("inf")]]}]},
            "`series.0.points.0.1` is inf: not a finite number",
        ),
        (LINES | {"series": [{"name": "a", "points": [[1, 0]]}], "log_y": True}, "0 on a log axis"),
        (LINES | {"y_range": [2, 1]}, "`y_range` [2, 1]; a low and a higher number"),
        (TABLE | {"rows": [["x"]]}, "1 cells for 2 columns"),
        (TABLE | {"rows": [["x", {}]]}, "`rows.0.1` is {}"),
        (TABLE | {"units": [None]}, "1 units for 2 columns"),
        (TABLE | {"best": [None, "most"]}, "`best.1` is 'most': Input should be 'min' or 'max'"),
        (TABLE | {"units": 5}, "`units` is 5"),
        (TABLE | {"note": 5}, "`note` is 5: Input should be a valid string"),
        (BARS | {"marks": 5}, "`marks` is 5"),
        ({"kind": "text", "title": "t", "lines": [1]}, "`lines.0` is 1: Input should be a valid string"),
        ({"kind": "diff", "title": "t", "left": "a", "right": "b", "left_label": "c"}, "`right_label`: Field required"),
    ],
)
def test_what_cannot_be_drawn_is_refused(figure, says):
    with pytest.raises(FigureError) as raised:
        check(figure, "node clean, figure 2")
    assert says in str(raised.value)
    assert str(raised.value).startswith("node clean, figure 2")
