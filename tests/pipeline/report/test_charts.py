"""Charts as drawings: everything inside the box, one colour a name, nothing of a figure left out."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipeline.report import charts, numbers, panels
from pipeline.report.charts import NARROW, WIDE
from pipeline.report.legend import Palette

NUMBER = st.floats(-1e12, 1e12, allow_subnormal=False)


def parsed(svg) -> ElementTree.Element:
    return ElementTree.fromstring(str(svg).replace("&nbsp;", " "))


def of(root: ElementTree.Element, tag: str) -> list[ElementTree.Element]:
    return list(root.iter(tag))


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=30), NUMBER, st.sampled_from([NARROW, WIDE]), st.booleans())
def test_histogram_bars_stay_inside_and_none_is_missing(counts, start, width, log_y):
    edges = [start + i * (1 + abs(start)) for i in range(len(counts) + 1)]
    figure = {"kind": "histogram", "title": "t", "x": "x", "edges": edges, "counts": counts, "log_y": log_y,
              "marks": [{"x": edges[-1], "label": "end", "removed": "below"}]}  # fmt: skip
    root = parsed(charts.histogram(figure, width))
    bars = of(root, "rect")
    assert len(bars) == sum(count > 0 for count in counts)
    assert all(bar.get("class") == "gone" for bar in bars)
    for bar in bars:
        x, y, w, h = (float(bar.get(name)) for name in ("x", "y", "width", "height"))
        assert x >= 0 <= y
        assert h > 0
        assert x + w <= width + 0.2
        assert y + h <= float(root.get("height"))


@given(st.lists(st.lists(st.tuples(NUMBER, NUMBER), max_size=30), min_size=1, max_size=10))
def test_lines_stay_inside_and_every_series_is_there(points):
    series = [{"name": f"s{i}", "points": [list(p) for p in one], "dots": i % 2 == 1} for i, one in enumerate(points)]
    root = parsed(charts.lines({"kind": "lines", "title": "t", "x": "x", "y": "y", "series": series}, Palette()))
    drawn = [one for one in series if one["points"]]
    assert len(of(root, "polyline")) == sum(not one["dots"] for one in drawn)
    assert len(of(root, "circle")) == sum(len(one["points"]) for one in drawn if one["dots"])
    for line in of(root, "polyline"):
        for pair in line.get("points").split():
            x, y = map(float, pair.split(","))
            assert 0 <= x <= NARROW
            assert 0 <= y <= float(root.get("height"))


def test_end_labels_do_not_touch():
    series = [{"name": f"model {i}", "points": [[0, 1], [1, 1 + i / 1000]]} for i in range(8)]
    root = parsed(charts.lines({"kind": "lines", "title": "t", "x": "x", "y": "y", "series": series}, Palette()))
    heights = sorted(float(text.get("y")) for text in of(root, "text") if "end" in text.get("class").split())
    assert len(heights) == 8
    assert all(b - a >= 14.9 for a, b in pairwise(heights))
    assert heights[-1] < float(root.get("height"))


def test_names_too_long_for_the_side_stand_above_in_full():
    names = [f"Lost 1m, rank {rank}, density 0.05, LinUpper" for rank in (8, 16)]
    series = [{"name": name, "points": [[0, 1], [1, 2]], "dots": name == names[1]} for name in names]
    for width in (NARROW, WIDE):
        figure = {"kind": "lines", "title": "t", "x": "x", "y": "y", "series": series}
        root = parsed(charts.lines(figure, Palette(), width))
        keys = {text.text: float(text.get("y")) for text in of(root, "text") if text.get("class") == "label"}
        assert set(keys) == set(names)
        plot = [float(line.get("y1")) for line in of(root, "line") if line.get("class") == "grid"]
        assert max(keys.values()) < min(plot)


def test_shared_names_keep_their_colour_and_others_take_the_first_left():
    palette = Palette(["dense", "lost"])
    assert palette.classes(["lost", "curve", "dots"]) == {"lost": "s1", "curve": "s0", "dots": "s2"}
    assert palette.classes(["uses"]) == {"uses": "s0"}
    many = palette.classes([f"m{i}" for i in range(12)])
    assert len(set(many.values())) == 12  # dashed where the colours begin again


def test_a_long_series_is_thinned_but_keeps_its_peaks():
    points = [[i, 0.0] for i in range(100_000)]
    points[54_321][1] = 9.0
    svg = charts.lines(
        {"kind": "lines", "title": "t", "x": "x", "y": "y", "series": [{"name": "a", "points": points}]}, Palette()
    )
    assert len(svg) < 40_000
    heights = [float(pair.split(",")[1]) for pair in parsed(svg).find(".//polyline").get("points").split()]
    assert max(heights) - min(heights) > 100


def test_y_range_leaves_out_what_lies_beyond():
    points = [[i, 100 / (i + 1)] for i in range(50)]
    figure = {
        "kind": "lines",
        "title": "t",
        "x": "x",
        "y": "y",
        "y_range": [1, 5],
        "series": [{"name": "a", "points": points}],
    }
    drawn = parsed(charts.lines(figure, Palette())).find(".//polyline").get("points").split()
    assert len(drawn) == sum(1 <= y <= 5 for _, y in points)


def test_bars_with_negative_values_meet_at_zero():
    root = parsed(
        charts.bars({"kind": "bars", "title": "t", "labels": ["up", "down"], "values": [2, -1], "unit": "bytes"})
    )
    up, down = of(root, "rect")
    assert float(up.get("x")) == float(down.get("x")) + float(down.get("width"))
    assert abs(float(up.get("width")) - 2 * float(down.get("width"))) < 0.2
    assert any("2\u00a0B" in (text.text or "") for text in of(root, "text"))


def test_table_cells_are_formatted_by_column():
    table = panels.table(
        {"kind": "table", "title": "t", "columns": ["model", "size", "loss", "share", "n"],
         "units": [None, "bytes", None, "percent", None],
         "best": [None, "min", "min", None, "max"],
         "rows": [["a <b>", 21_000_000, 2.0413, 0.5, 1234567], ["b", 1_500, 12.5, 1, None]]}
    )  # fmt: skip
    for shown in (
        "a &lt;b&gt;",
        "21\u00a0MB",
        "<b>1.5\u00a0kB</b>",
        "<b>2.04</b>",
        "12.50",
        "50.0\u00a0%",
        "100\u00a0%",
        "1,234,567",
        "–",
    ):
        assert shown in table, shown


def test_numbers_are_written_as_people_do():
    assert numbers.count(1234567) == "1,234,567"
    assert numbers.plain(0.000012345) == "1.23e−5"
    assert numbers.plain(-1234.5678) == "−1,235"
    assert numbers.size(999_700) == "1\u00a0MB"
    assert numbers.percent(0.0001) == "<\u00a00.1\u00a0%"
    assert numbers.percent(0.99999) == ">\u00a099.9\u00a0%"
    assert numbers.percent(0) == "0\u00a0%"
    assert numbers.duration(75.2) == "1\u00a0min\u00a015\u00a0s"
    assert numbers.duration(3725) == "1\u00a0h\u00a02\u00a0min"
    assert numbers.short(1_636_000) == "1.64M"
