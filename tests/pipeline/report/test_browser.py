"""The page in a real browser: no complaint or request, nothing blank or too wide, both themes, keys and print."""

from __future__ import annotations

from pathlib import Path

import pytest
import report_sample

from pipeline.report.page import render
from tests.browser import TOO_WIDE, Browser, chromium

pytestmark = pytest.mark.skipif(chromium() is None, reason="no chromium binary on PATH (apt-get install chromium)")

UNFOLD = "document.querySelectorAll('details').forEach((one) => { one.open = true; })"
CHARTS = """
    [...document.querySelectorAll('.chart, #lanes')].map((host) => {
      const box = host.getBoundingClientRect();
      return {x: box.x + scrollX, y: box.y + scrollY, width: box.width, height: box.height};
    }).filter((box) => box.width > 0)
"""
PAINTED = """
    [...new Set([...document.querySelectorAll('.chart svg path:not(clipPath path, [fill-opacity="0"])')].flatMap(
      (one) => [one.getAttribute('fill'), one.getAttribute('stroke')]))]
"""
TOUCHING = """
  (() => {
    const meet = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
      && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4;
    const seen = [...document.querySelectorAll('.chart svg')].filter((svg) => svg.getBoundingClientRect().width > 0);
    return seen.flatMap((svg) => {
      const texts = [...svg.querySelectorAll('text')].map((text) => [text.textContent, text.getBoundingClientRect()]);
      return texts.flatMap(([one, a], i) =>
        texts.slice(i + 1).filter(([, b]) => meet(a, b)).map(([other]) => one + ' | ' + other));
    });
  })()
"""
OUTSIDE = """
  [...document.querySelectorAll('.chart svg')].flatMap((svg) => {
    const box = svg.getBoundingClientRect();
    return [...svg.querySelectorAll('text')].map((text) => [text.textContent, text.getBoundingClientRect()])
      .filter(([, a]) => a.left < box.left - 1 || a.right > box.right + 1
        || a.top < box.top - 1 || a.bottom > box.bottom + 1)
      .map(([text]) => text);
  })
"""
DRIFT = """
  (() => {
    const dots = [...document.querySelectorAll('#lanes svg path')].map((dot) => dot.getBoundingClientRect())
      .filter((box) => box.width > 11 && box.width < 18 && Math.abs(box.width - box.height) < 1);
    return [...document.querySelectorAll('.graph tbody tr')].map((row) => row.getBoundingClientRect())
      .map((row) => Math.min(...dots.map((dot) => Math.abs((dot.top + dot.bottom) / 2 - (row.top + row.bottom) / 2))));
  })()
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render(report_sample.report()), encoding="utf-8")
    return path.as_uri()


@pytest.mark.parametrize(("scheme", "width"), [
    ("light", 400), ("dark", 1280), pytest.param("light", 1280, marks=pytest.mark.long),
    pytest.param("dark", 400, marks=pytest.mark.long),
])  # fmt: skip
def test_the_page_is_sound(browser: Browser, url: str, scheme: str, width: int, tmp_path: Path) -> None:
    browser.open(url, scheme, width)
    browser.evaluate(UNFOLD)
    assert browser.complaints() == []
    assert browser.requests() == [url]
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    assert browser.evaluate(TOO_WIDE) == []
    browser.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert browser.evaluate(TOUCHING) == []
    assert browser.evaluate(OUTSIDE) == []
    drift = browser.evaluate(DRIFT)
    assert len(drift) == 20
    assert max(drift) < 1.5
    paper = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}[scheme]
    painted = browser.evaluate(PAINTED)
    assert len([colour for colour in painted if colour and colour.startswith("rgb")]) >= 8
    assert not {"#000", "rgb(0,0,0)", "rgb(0, 0, 0)"} & set(painted)
    boxes = browser.evaluate(CHARTS)
    assert len(boxes) == 13
    assert max(box["height"] for box in boxes[1:]) <= 400
    image = browser.picture(tmp_path / f"{scheme}-{width}.png")
    seen = browser.colours(image, boxes)
    assert min(seen) >= 4  # paper, a line, words, and what is drawn


def test_the_toggle_goes_round_and_is_remembered(browser: Browser, url: str) -> None:
    browser.open(url, "light", 1280)
    paper = "getComputedStyle(document.body).backgroundColor"
    press = "document.getElementById('theme').click()"
    light = browser.evaluate(paper)
    browser.evaluate(f"{press}; {press}")
    assert browser.evaluate("document.getElementById('theme').textContent") == "Theme: dark"
    dark = browser.evaluate(paper)
    assert dark != light
    browser.open(url, "light", 1280)
    assert browser.evaluate(paper) == dark
    browser.evaluate(press)
    assert browser.evaluate(paper) == light
    assert browser.complaints() == []


def test_the_keyboard_reaches_everything_that_can_be_used(browser: Browser, url: str) -> None:
    browser.open(url, "light", 1280)
    reached = set()
    for _ in range(400):
        for kind in ("rawKeyDown", "keyUp"):
            browser.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        at = browser.evaluate(
            "(() => { const a = document.activeElement; return a.tagName + (a.id || a.hash || ''); })()"
        )
        reached.add(at.partition("#")[0])
        if at.startswith("BUTTONcopy"):
            break
    assert {"A", "SUMMARY", "DIV", "BUTTONtheme"} <= reached


def test_a_link_to_a_folded_node_unfolds_it(browser: Browser, url: str) -> None:
    browser.open(url + "#node-1", "light", 1280)
    assert browser.evaluate("document.getElementById('node-1').open") is True


def test_lines_tell_their_values_under_the_pointer(browser: Browser, url: str) -> None:
    browser.open(url, "light", 1280)
    browser.evaluate("document.getElementById('section-training').scrollIntoView({behavior: 'instant'})")
    box = browser.evaluate(
        "(() => { const b = document.querySelector('#section-training .chart').getBoundingClientRect();"
        " return {x: b.x, y: b.y, width: b.width, height: b.height}; })()"
    )
    x, y = box["x"] + box["width"] * 0.6, box["y"] + box["height"] / 2
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    lines = "document.querySelectorAll('#section-training .chart > div:last-child div div')"
    told = browser.evaluate(f"[...{lines}].map((one) => one.textContent)")
    assert len(told) == 5
    assert any(line.startswith("lost_reweighted  3.") for line in told)


def test_print_unfolds_what_is_folded(browser: Browser, url: str) -> None:
    browser.open(url, "dark", 1280)
    assert len(browser.call("Page.printToPDF")["data"]) > 100_000
    assert browser.evaluate("document.querySelectorAll('details.reason:not([open])').length") == 0


def test_hostile_text_does_nothing(browser: Browser, url: str) -> None:
    browser.open(url, "light", 1280)
    browser.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.hit = 1\">')")
    assert browser.evaluate("typeof window.hit") == "undefined"
    assert any("Content Security Policy" in told for told in browser.complaints())
