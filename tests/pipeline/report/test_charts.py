"""Charts as a browser draws them: everything inside the box, one colour a name, nothing of a figure left out."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from pipeline.report import curves, numbers, panels
from pipeline.report.data import ReportData
from pipeline.report.page import render
from tests.browser import Browser, chromium

drawn_by_a_browser = pytest.mark.skipif(chromium() is None, reason="no chromium binary on PATH")
WIDTHS = (400, 1280)
AXES = {"title": "t", "x": "x", "y": "y"}
RECTANGLES = """
  [...document.querySelectorAll('.chart svg path')].map((one) => [one, one.getBoundingClientRect()])
    .filter(([one]) => !one.closest('clipPath') && one.getAttribute('fill') === siftloomCharts.theme().NAME)
    .map(([one, box]) => ({x: box.x, y: box.y, width: box.width, height: box.height}))
"""
BOX = """
  (() => { const box = document.querySelector('.chart').getBoundingClientRect();
    return [box.left, box.top, box.right, box.bottom]; })()
"""
TEXTS = "[...document.querySelectorAll('.chart svg text')].map((one) => one.textContent)"


@pytest.fixture
def shown(browser: Browser, tmp_path):
    """Open a page of figures; returns the browser."""

    def show(*figures: dict[str, Any], width: int = 1280) -> Browser:
        path = tmp_path / "page.html"
        path.write_text(render(ReportData(name="n", finished="", headline="", figures=figures)), encoding="utf-8")
        browser.open(path.as_uri(), "light", width)
        browser.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        assert browser.complaints() == []
        return browser

    return show


def rectangles(browser: Browser, colour: str) -> list[dict[str, float]]:
    found = browser.evaluate(RECTANGLES.replace("NAME", colour))
    return [box for box in found if box["width"] != 18]  # the key's samples are that wide


@drawn_by_a_browser
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("log", [False, True])
def test_histogram_bars_stay_inside_and_their_parts_add_up(shown, width: int, log: bool):
    counts, removed = [1, 0, 10_000_000, 40, 7], [1, 0, 2_500_000, 0, 7]
    edges = [1, 2, 4, 8, 16, 32]
    figure = {**AXES, "kind": "histogram", "edges": edges, "counts": counts, "removed": removed, "log_y": log,
              "log_x": log, "marks": [{"x": 32, "label": "end"}]}  # fmt: skip
    browser = shown(figure, width=width)
    left, top, right, bottom = browser.evaluate(BOX)
    kept, gone = rectangles(browser, "accent"), rectangles(browser, "gone")
    assert (len(kept), len(gone)) == (2, 3)
    for box in kept + gone:
        assert left <= box["x"]
        assert box["x"] + box["width"] <= right + 0.2
        assert top < box["y"]
        assert box["y"] + box["height"] <= bottom
        assert box["height"] > 0
    if not log:
        below, above = max(kept, key=lambda box: box["height"]), max(gone, key=lambda box: box["height"])
        assert above["height"] / (above["height"] + below["height"]) == pytest.approx(0.25, abs=0.01)
        assert above["y"] + above["height"] == pytest.approx(below["y"], abs=1.5)


@drawn_by_a_browser
def test_what_lies_beyond_a_mark_that_removes_is_drawn_as_removed(shown):
    figure = {**AXES, "kind": "histogram", "edges": [0, 1, 2, 3], "counts": [3, 2, 1],
              "marks": [{"x": 2, "label": "end", "removed": "below"}]}  # fmt: skip
    browser = shown(figure)
    assert (len(rectangles(browser, "gone")), len(rectangles(browser, "accent"))) == (2, 1)
    assert "end 2" in browser.evaluate(TEXTS)


@drawn_by_a_browser
def test_every_series_is_there_and_every_name_can_be_read(shown):
    names = [f"Lost 1m, rank {rank}, density 0.05, LinUpper" for rank in range(10)]
    series = [{"name": name, "points": [[0, i], [1, i + 1]], "dots": i == 9} for i, name in enumerate(names)]
    browser = shown({**AXES, "kind": "lines", "series": series[:4]}, {**AXES, "kind": "lines", "series": series})
    texts = browser.evaluate(TEXTS)
    assert set(names[:4]) <= set(texts)
    options = browser.evaluate(
        "[...document.querySelectorAll('.chart')].map((host) => siftloomCharts.chartOf(host).getOption().series"
        ".map((one) => [one.type, one.name, one.data.length, one.color, one.lineStyle?.type]))"
    )
    assert [len(one) for one in options] == [4, 10]
    assert [kind for kind, *_ in options[1]] == ["line"] * 9 + ["scatter"]
    assert all(points == 2 for one in options for _, _, points, *_ in one)
    assert options[0] == options[1][:4]  # a name has one colour in every chart
    looks = {(str(colour), dashes) for *_, colour, dashes in options[1]}
    assert len(looks) == 10  # dashed where the colours begin again


@drawn_by_a_browser
def test_shared_names_keep_their_colour_and_others_take_the_first_left(shown):
    browser = shown({**AXES, "kind": "lines", "series": [{"name": "a", "points": [[0, 1]]}]})
    line = {"kind": "lines", "series": [{"name": "dense"}, {"name": "lost"}]}
    described = [{**line, "smooth": True}, line]
    ask = f"(names) => [...siftloomCharts.palette({json.dumps(described)})(names)]"
    found = browser.evaluate(f"[['lost', 'curve', 'dots'], ['uses']].map({ask})")
    assert found == [[["lost", 1], ["curve", 0], ["dots", 2]], [["uses", 0]]]


@drawn_by_a_browser
def test_y_range_is_the_range_that_is_drawn(shown):
    points = [[i, 100 / (i + 1)] for i in range(50)]
    browser = shown({**AXES, "kind": "lines", "y_range": [1, 5], "series": [{"name": "a", "points": points}]})
    found = browser.evaluate(
        "(() => { const chart = siftloomCharts.chartOf(document.querySelector('.chart'));"
        " const box = chart.getDom().getBoundingClientRect();"
        " return [1, 5].map((y) => chart.convertToPixel({yAxisIndex: 0}, y)).concat(box.height); })()"
    )
    low, high, height = found
    assert 0 < high < 60
    assert height - 70 < low < height


@drawn_by_a_browser
def test_labels_of_marks_stand_apart_and_a_mark_far_beyond_leaves_the_bars_their_room(shown):
    figure = {**AXES, "kind": "histogram", "edges": [0, 8, 16], "counts": [3, 2], "marks": [
        {"x": 3, "label": "min_mean_word"}, {"x": 10, "label": "max_mean_word"}, {"x": 16, "label": "end"},
        {"x": 100_000, "label": "far"}]}  # fmt: skip
    browser = shown(figure, width=400)
    boxes = browser.evaluate(
        "[...document.querySelectorAll('.chart svg text')].map((one) => [one.textContent, one.getBoundingClientRect()])"
        ".map(([text, box]) => [text, box.left, box.right, box.top, box.bottom])"
    )
    marks = [box for box in boxes if box[0] in ("min_mean_word 3", "max_mean_word 10", "end 16", "y", "count")]
    assert len(marks) == 4
    for i, (one, left, right, top, bottom) in enumerate(marks):
        for other, left2, right2, top2, bottom2 in marks[i + 1 :]:
            apart = right <= left2 or right2 <= left or bottom <= top2 + 2 or bottom2 <= top + 2
            assert apart, f"{one} touches {other}"
    assert sum(box["width"] for box in rectangles(browser, "accent")) > 200


@drawn_by_a_browser
def test_bars_with_negative_values_meet_at_zero(shown):
    browser = shown({"kind": "bars", "title": "t", "labels": ["up", "down"], "values": [2, -1], "unit": "bytes"})
    up, down = sorted(rectangles(browser, "accent"), key=lambda box: -box["width"])
    assert up["x"] == pytest.approx(down["x"] + down["width"], abs=1)
    assert up["width"] == pytest.approx(2 * down["width"], abs=1)
    assert {"2\u00a0B", "\u22121\u00a0B", "up", "down"} <= set(browser.evaluate(TEXTS))


@drawn_by_a_browser
def test_a_name_is_never_markup(shown):
    evil = "<img src=x onerror=window.hit=1>"
    series = [{"name": evil, "points": [[0, 1], [1, 2]]}, {"name": "b", "points": [[0, 2], [1, 1]]}]
    browser = shown({"kind": "lines", "title": evil, "x": evil, "y": evil, "series": series})
    left, top, right, bottom = browser.evaluate(BOX)
    browser.evaluate("document.querySelector('.chart').scrollIntoView({behavior: 'instant', block: 'center'})")
    left, top, right, bottom = browser.evaluate(BOX)
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=(left + right) / 2, y=(top + bottom) / 2)
    assert browser.evaluate(f"document.querySelector('.chart').textContent.includes({json.dumps(evil)})") is True
    assert browser.evaluate("document.querySelectorAll('img').length") == 0
    assert browser.evaluate("typeof window.hit") == "undefined"


@drawn_by_a_browser
def test_numbers_on_charts_are_those_of_the_page(shown):
    browser = shown({**AXES, "kind": "lines", "series": [{"name": "a", "points": [[0, 1]]}]})
    values = [1234567, -1234.5678, 0.25, 0, 1e15]
    assert browser.evaluate(f"{values}.slice(0, 4).map(siftloomCharts.four)") == [
        numbers.count(value) if isinstance(value, int) else numbers.plain(value) for value in values[:4]
    ]
    sizes = [999_700, 1_500_000, 12, 21_000_000_000]
    assert browser.evaluate(f"{sizes}.map(siftloomCharts.bytes)") == [numbers.size(value) for value in sizes]
    shares = [0.0001, 0.99999, 0, 1, 0.2512]
    assert browser.evaluate(f"{shares}.map(siftloomCharts.percent)") == [numbers.percent(share) for share in shares]


def test_a_long_series_is_thinned_but_keeps_its_peaks():
    points = [[i, 0.0] for i in range(100_000)]
    points[54_321][1] = 9.0
    kept = curves.thinned(points)
    assert len(kept) <= 4 * (curves.COLUMNS + 1)
    assert (54_321, 9.0) in kept
    assert kept[0] == (0, 0.0)
    assert kept[-1] == (99_999, 0.0)
    assert curves.thinned(points[:100]) == points[:100]


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


def test_a_heat_map_shades_the_numbers_and_not_the_names_of_its_rows():
    figure = {
        "kind": "table",
        "title": "t",
        "columns": ["tokens", "a", "b"],
        "rows": [["256", 0.0, 0.96], ["1,024", None, 7.0]],
    }
    plain, heat = panels.table(figure), panels.table(figure | {"heat": True})
    assert "heat" not in plain
    assert re.findall(r'<(t[hd])[^>]*class="number heat-(\d+)"', heat) == [("td", "0"), ("td", "10"), ("td", "10")]
    assert '<th scope="row">256' in heat or "<th class" not in heat.partition("<tbody>")[2]


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
