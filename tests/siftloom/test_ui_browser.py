"""The page of `siftloom ui` in a real browser: every view, both themes, any width, by keys alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from command_line import Small
from served import served

from tests.browser import TOO_WIDE, Browser, chromium

pytest.importorskip("starlette")
pytestmark = pytest.mark.skipif(chromium() is None, reason="no chromium binary on PATH (apt-get install chromium)")

VIEWS = ("#/", "#/run/small/overview", "#/run/small/thresholds?node=plain", "#/run/small/documents?node=plain",
         "#/run/small/models", "#/compare")  # fmt: skip
READY = "document.querySelector('#news').textContent.includes('siftloom')"
UNNAMED = """
  [...document.querySelectorAll('button, a, input, select, [role=slider]')]
    .filter((one) => !(one.textContent || one.getAttribute('aria-label') || one.labels?.length))
    .map((one) => one.outerHTML)
"""
FOCUSED = """
  (() => { const a = document.activeElement;
    return [a.tagName, a.getAttribute('role') ?? '', a.name ?? '', a.textContent.slice(0, 30)].join('|'); })()
"""


@pytest.fixture(scope="module")
def page(small: Small, browser: Browser) -> Iterator[Any]:
    """Opens a view of the small run and waits until it stands."""
    with served(small.folder / "kept") as address:
        browser.open(address, "light", 1280)
        base = address.partition("?")[0]

        def opened(view: str, scheme: str = "light", width: int = 1280) -> Browser:
            browser.open(base + view, scheme, width)
            wait(browser, READY)
            return browser

        yield opened


def wait(browser: Browser, holds: str) -> None:
    """Wait until an expression is true in the page; the page answers requests, so this is no sleep for luck."""
    end = time.monotonic() + 30
    while not browser.evaluate(f"Boolean({holds})"):
        assert time.monotonic() < end, f"never true: {holds}\n{browser.evaluate('document.body.innerText')[:2000]}"
        time.sleep(0.05)


def press(browser: Browser, key: str, code: int) -> None:
    for kind in ("rawKeyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(("scheme", "width"), [
    ("light", 390), ("dark", 800), pytest.param("dark", 390, marks=pytest.mark.long),
    pytest.param("light", 1600, marks=pytest.mark.long),
])  # fmt: skip
def test_every_view_is_sound(page: Any, view: str, scheme: str, width: int) -> None:
    browser = page(view, scheme, width)
    assert browser.complaints() == []
    assert all(url.startswith("http://127.0.0.1:") for url in browser.requests())
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    assert browser.evaluate(TOO_WIDE) == []
    paper = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}[scheme]
    assert browser.evaluate("document.querySelectorAll('.problem').length") == 0
    assert browser.evaluate(UNNAMED) == []


@pytest.mark.parametrize(("scheme", "width"), [("light", 390), pytest.param("dark", 1280, marks=pytest.mark.long)])
def test_two_runs_stand_side_by_side(second: Small, browser: Browser, scheme: str, width: int) -> None:
    with served(second.folder / "kept") as address:
        browser.open(address, scheme, width)
        browser.open(address.partition("?")[0] + "#/compare?one=small&two=small@2", scheme, width)
        wait(browser, "document.querySelector('.headline')")
        shown = browser.evaluate("document.querySelector('main').innerText")
        assert "After plain: small keeps 42 documents, small@2 0." in shown
        assert shown.index("Only small keeps") < shown.index("Fields that differ")
        row = "[...document.querySelectorAll('tbody tr')].map((row) => row.innerText.split('\\t').map((c) => c.trim()))"
        assert ["plain", "min_words", "20", "60"] in browser.evaluate(row)
        assert "plain, gopher_quality.min_words 42 documents" in shown
        browser.evaluate("document.querySelector('main details summary').click()")
        assert "The carrier brought letter" in browser.evaluate("document.querySelector('main details').innerText")
        assert "measured 59, threshold 60" in browser.evaluate("document.querySelector('main details').innerText")
        browser.evaluate(
            "(() => { const box = document.querySelector('select[name=one]'); box.value = 'small@2';"
            " box.dispatchEvent(new Event('change')); })()"
        )
        wait(browser, "location.hash.includes('one=small%402')")
        assert browser.evaluate(TOO_WIDE) == []
        assert browser.complaints() == []


def test_a_run_is_a_line_of_the_first_page(page: Any) -> None:
    browser = page("#/")
    wait(browser, "document.querySelector('.spark')")
    line = browser.evaluate("document.querySelector('.runs tbody tr').innerText")
    assert "finished" in line
    assert "40 of 44" in line
    assert browser.evaluate("document.querySelectorAll('.spark i').length") == 5
    assert browser.evaluate("document.querySelectorAll('.runs thead th').length") == 6
    assert browser.evaluate("document.querySelector('.runs .long').textContent") != ""


def test_a_server_that_has_ended_is_named(small: Small, browser: Browser) -> None:
    with served(small.folder / "kept") as address:
        browser.open(address, "light", 390)
        browser.open(address.partition("?")[0] + "#/run/small/overview", "light", 390)
        wait(browser, READY)
        assert browser.evaluate("document.querySelector('#dead').hidden") is True
    wait(browser, "!document.querySelector('#dead').hidden")  # without a click
    assert "siftloom ui" in browser.evaluate("document.querySelector('#dead').innerText")
    assert browser.evaluate(TOO_WIDE) == []


def test_the_graph_leads_to_the_nodes(page: Any) -> None:
    browser = page("#/run/small/overview")
    rows = browser.evaluate("[...document.querySelectorAll('.graph tbody tr')].map((row) => row.innerText)")
    assert len(rows) == 5
    assert any("43 of 44 kept" in row for row in rows)
    wide = "(one) => one.getBoundingClientRect().width > 11"
    wait(browser, f"[...document.querySelectorAll('.lanes svg path')].filter({wide}).length >= 5")
    browser.evaluate("[...document.querySelectorAll('.graph a')].find((one) => one.textContent === 'plain').click()")
    wait(browser, "document.querySelector('.handle')")
    assert browser.complaints() == []


def test_a_threshold_that_is_dragged_shows_the_exact_counts(page: Any) -> None:
    browser = page("#/run/small/thresholds?node=plain")
    wait(browser, "document.querySelector('.answer dl')")
    kept = "document.querySelector('.answer dl dd small').textContent"
    assert browser.evaluate(kept) == "42 of 43"
    browser.evaluate("document.querySelector('.handle').scrollIntoView({block: 'center', behavior: 'instant'})")
    left, right, y = browser.evaluate(
        "(() => { const h = document.querySelector('.handle').getBoundingClientRect(),"
        " c = document.querySelector('.chart').getBoundingClientRect();"
        " return [(h.left + h.right) / 2, c.right - 18, h.top + 8]; })()"
    )
    for kind, x in (
        ("mousePressed", left),
        ("mouseMoved", (left + right) / 2),
        ("mouseMoved", right),
        ("mouseReleased", right),
    ):
        browser.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)
    wait(browser, f"{kept} === '0 of 43 (\\u221242)'")
    value = browser.evaluate("document.querySelector('input[name=min_words]').value")
    assert int(value) > 59
    told = browser.evaluate("document.querySelector('.copy code').textContent")
    assert told == f"plain: {{use: gopher_quality, docs: english, min_words: {value}}}"
    assert f"-s plain.min_words={value}" in browser.evaluate("document.querySelectorAll('.copy code')[1].textContent")
    assert browser.evaluate("document.querySelector('.handle .tag').textContent") == f"min_words {value}"
    there = browser.evaluate("location.hash")
    assert f"field=min_words&value={value}" in there
    browser = page(there)  # as somebody opens it to whom it was sent
    wait(browser, f"{kept} === '0 of 43 (\\u221242)'")
    assert browser.evaluate("document.querySelector('input[name=min_words]').value") == value
    assert browser.evaluate("document.querySelectorAll('.sides blockquote').length") >= 3  # of both sides
    assert browser.complaints() == []


def test_a_threshold_moves_by_keys(page: Any) -> None:
    browser = page("#/run/small/thresholds?node=plain")
    wait(browser, "document.querySelector('.answer dl')")
    browser.evaluate("document.querySelector('.handle').focus()")
    press(browser, "ArrowLeft", 37)
    wait(browser, "document.querySelector('.copy code').textContent.includes('min_words: 19')")
    assert browser.evaluate("document.querySelector('.handle').getAttribute('aria-valuenow')") == "19"
    press(browser, "Home", 36)
    wait(browser, "document.querySelector('.answer dl dd small').textContent.startsWith('43 of 43')")
    assert browser.complaints() == []


def test_a_document_is_found_and_explained(page: Any) -> None:
    browser = page("#/run/small/documents?node=distinct&state=removed")
    wait(browser, "document.querySelectorAll('.list button').length === 2")
    browser.evaluate("document.querySelector('.list button').click()")
    wait(browser, "document.querySelector('.pane table')")
    pane = browser.evaluate("document.querySelector('.pane').innerText")
    assert "exact_dedup.copy" in pane or "exact_dedup" in pane
    browser.evaluate("document.querySelector('.copies button').click()")
    wait(browser, "document.querySelectorAll('.beside pre').length === 2")
    assert browser.evaluate("document.querySelectorAll('.beside ins, .beside del').length") == 0  # an exact copy
    assert "The carrier brought letter" in pane
    browser.evaluate(
        "(() => { const box = document.querySelector('input[name=text]'); box.value = 'number 17 ';"
        " box.dispatchEvent(new Event('change')); })()"
    )
    wait(browser, "document.querySelector('.quiet')?.textContent.includes('looked through')")
    assert browser.evaluate("document.querySelectorAll('.list button').length") == 1
    assert browser.evaluate("document.querySelector('.list mark').textContent") == "number 17 "
    assert "text=number+17" in browser.evaluate("document.querySelector('a[download]').href")
    browser.evaluate(
        "(() => { const box = document.querySelector('select[name=order]'); box.value = 'random';"
        " box.dispatchEvent(new Event('change')); })()"
    )
    wait(browser, "location.hash.includes('order=random&seed=')")
    wait(browser, "document.querySelector('.tools button')")
    assert browser.complaints() == []


@pytest.mark.parametrize("view", ["#/run/small/thresholds?node=plain", "#/run/small/documents?node=plain"])
def test_the_keyboard_reaches_everything_that_can_be_used(page: Any, view: str) -> None:
    browser = page(view)
    wait(browser, "document.querySelector('.answer dl, .list button')")
    usable = browser.evaluate(
        "[...document.querySelectorAll('a, button, input, select, summary, [tabindex=\"0\"]')]"
        ".filter((one) => one.offsetParent !== null).length"
    )
    browser.evaluate("document.activeElement.blur()")
    reached = set()
    for _ in range(usable + 2):
        press(browser, "Tab", 9)
        reached.add(
            browser.evaluate(FOCUSED + " + '|' + [...document.querySelectorAll('*')].indexOf(document.activeElement)")
        )
    assert len({one for one in reached if not one.startswith("BODY")}) >= usable
    assert any(one.startswith("A|") for one in reached)
    assert any("Theme" in one for one in reached)
    if "thresholds" in view:
        assert any("|slider|" in one for one in reached)


def test_texts_of_documents_are_never_markup(page: Any) -> None:
    browser = page("#/run/small/documents?node=plain&text=%3Cimg%20src=x%3E")
    assert browser.evaluate("document.querySelectorAll('main img').length") == 0
    browser.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.hit = 1\">')")
    assert browser.evaluate("typeof window.hit") == "undefined"
    wait(browser, "[...document.images].every((one) => one.complete)")
    assert browser.evaluate("typeof window.hit") == "undefined"
    assert any("Content Security Policy" in told for told in browser.complaints())


def test_a_wrong_address_says_so(page: Any) -> None:
    browser = page("#/")
    browser.evaluate("location.hash = '#/run/nobody/overview'")
    wait(browser, "document.querySelector('.problem')")
    assert "no run called" in browser.evaluate("document.querySelector('.problem').textContent")
