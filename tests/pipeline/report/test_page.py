"""The page as a document: whole, closed to the outside, accessible by structure, proof against hostile texts."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from html.parser import HTMLParser
from importlib import resources

import pytest
import report_sample

from pipeline.report.data import ReportData
from pipeline.report.page import render

SCRIPTS = ["application/json", None]  # data, which no browser runs, and the script that the policy names
VOID = {"meta", "link", "br", "img", "wbr", "input", "hr"}


class Page(HTMLParser):
    """Elements in order, with a check that every one is closed in its place."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] not in ("style", "script"):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.fixture(scope="module")
def data() -> ReportData:
    return report_sample.report()


@pytest.fixture(scope="module")
def html(data) -> str:
    return render(data)


@pytest.fixture(scope="module")
def page(html) -> Page:
    return Page(html)


def test_ids_are_unique_and_every_link_leads_somewhere(page):
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    targets = [attrs["href"] for attrs in page.all("a")]
    assert len(targets) > 40
    assert {target.removeprefix("#") for target in targets} <= set(ids)


def test_nothing_is_loaded_from_outside(html, page):
    names = {"http://www.w3.org/" + name for name in ("1999/xlink", "2000/svg", "2000/xmlns/", "XML/1998/namespace")}
    assert set(re.findall(r"https?://[^\"'` )]*", html)) == names  # of XML's vocabularies, which nobody loads
    assert not [tag for tag, attrs in page.elements if "src" in attrs or "srcset" in attrs or "action" in attrs]
    assert [attrs["href"] for attrs in page.all("link")] == ["data:,"]
    script = html[html.rindex("<script>") : html.rindex("</script>")]
    assert "url(" not in html.replace(script, "")
    assert all(
        place.startswith('#"+') for place in re.findall(r'url\("?(.{3})', script)
    )  # the clip paths of a drawing's own
    assert not re.findall(r"@import|importScripts|XMLHttpRequest|\bfetch\(|WebSocket|sendBeacon", html)
    policy = next(attrs["content"] for attrs in page.all("meta") if attrs.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    assert "script-src 'sha256-" in policy


def test_every_chart_and_table_has_a_name(page):
    charts = [attrs for attrs in page.all("div") if attrs.get("class") == "chart" or attrs.get("id") == "lanes"]
    assert len(charts) > 10
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in charts)
    assert not page.all("svg")
    assert len(page.all("table")) == len(page.all("caption"))
    assert len(page.all("h1")) == 1


def test_every_figure_node_reason_and_step_is_there(data, page):
    figures = [*data.figures, *(figure for node in data.nodes for figure in node.figures)]
    assert len(page.all("figure")) == len(figures)
    shown = [*(figure["title"] for figure in figures), *(node.label for node in data.nodes),
             *(reason.name for node in data.nodes for reason in node.reasons),
             *(node.fingerprint for node in data.nodes), *(step.label for step in data.funnel),
             *(value for pair in data.versions + data.machine for value in pair),
             data.command, data.headline]  # fmt: skip
    missing = [text for text in shown if text not in page.text]
    assert not missing


def test_hostile_texts_stay_texts(html, page):
    assert SCRIPTS == [attrs.get("type") for attrs in page.all("script")]
    assert not page.all("img")
    assert not [attrs for _, attrs in page.elements if any(name.startswith("on") for name in attrs)]
    assert "<script>alert('no')</script>" in page.text
    assert "\u202e" not in html
    assert "\x00" not in html
    assert "W" * 900 not in html
    html.encode("utf-8")  # no lone surrogate


def test_hostile_names_stay_names():
    evil = '"><script>alert(1)</script>'
    node = dataclasses.replace(
        report_sample.report().nodes[5], label=evil, kind=evil, inputs=(evil,), why=evil, result=evil, unit=evil,
        config=((evil, evil),),
        figures=tuple(
            figure | {"title": evil, "note": evil} for figure in report_sample.report().nodes[5].figures
        ),
    )  # fmt: skip
    data = ReportData(name=evil, finished=evil, headline=evil, nodes=(dataclasses.replace(node, inputs=()),),
                      command=evil, recipe=evil, versions=((evil, evil),), machine=((evil, evil),))  # fmt: skip
    html = render(data)
    page = Page(html)
    assert SCRIPTS == [attrs.get("type") for attrs in page.all("script")]
    drawn = json.loads(html.split('id="drawn">')[1].split("</script>")[0])  # no name ends the element
    assert {figure["title"] for figure in drawn["figures"]} == {evil}
    assert page.text.count("<script>") > 10


def test_a_figure_that_cannot_be_drawn_costs_only_its_place(data):
    bad = ({"kind": "bars", "title": "Broken", "labels": ["a"], "values": []}, "no figure at all",
           {"kind": "lines", "title": "t", "section": "training", "x": "x", "y": "y", "series": 5})  # fmt: skip
    page = Page(render(dataclasses.replace(data, figures=(*data.figures, *bad))))
    assert "'Broken': 1 labels for 0 values" in page.text
    assert "a valid dictionary" in page.text
    assert "Four models on one budget" in page.text


def test_every_number_of_every_chart_stands_in_a_table(data):
    figure = {"kind": "histogram", "title": "one", "x": "x", "edges": [0, 1, 2], "counts": [41, 42], "removed": [7, 0]}
    bars = {"kind": "bars", "title": "two", "labels": ["a", "b"], "values": [43, 44]}
    lines = {"kind": "lines", "title": "three", "x": "x", "y": "y", "series": [{"name": "s", "points": [[45, 46]]}]}
    html = render(ReportData(name="n", finished="", headline="", figures=(figure, bars, lines)))
    assert len(Page(html).all("table")) == 3
    assert {"41", "42", "7", "43", "44", "45", "46"} <= set(re.findall(r"<td[^>]*>(?:<b>)?(\d+)", html))


def test_the_library_is_the_one_that_its_digests_name_and_has_its_licences():
    folder = resources.files("pipeline.report") / "echarts"
    listed = dict(reversed(line.split()) for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert set(listed) == {"echarts.js", "LICENSE", "NOTICE"}
    for name, digest in listed.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name
    assert "Apache ECharts 6.1.0" in (folder / "echarts.js").read_text()[:200]
    licence = (folder / "LICENSE").read_text()
    for part in ("Apache License", "License of d3", "License of zrender", "License of tslib"):
        assert part in licence, part
    assert "Apache Software Foundation" in (folder / "NOTICE").read_text()


def test_the_same_data_give_the_same_page(data, html):
    assert render(report_sample.report()) == html


def test_an_empty_run_and_an_unfinished_one_are_pages():
    assert "nothing" in Page(render(ReportData(name="nothing", finished="", headline=""))).text
    node = dataclasses.replace(report_sample.report().nodes[0], total=None, kept=None, result="not finished")
    assert "not finished" in Page(render(ReportData(name="half", finished="", headline="", nodes=(node,)))).text


def test_colours_have_contrast_in_both_themes(html):
    """Text 4.5 to 1, marks 3 to 1 (WCAG 2.2, 1.4.3 and 1.4.11)."""
    pairs = dict(re.findall(r"--([\w-]+): light-dark\((#\w+, #\w+)\);", html))
    for theme in (0, 1):
        colour = {name: pair.split(", ")[theme] for name, pair in pairs.items()}
        grounds = [colour["paper"], colour["wash"]]
        for name in ("ink", "soft", "accent", *(f"s{i}" for i in range(8))):
            assert all(contrast(colour[name], ground) >= 4.5 for ground in grounds), name
        for name in ("gone", "resume", "reuse", "edge"):
            assert contrast(colour[name], colour["paper"]) >= 3, name


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
