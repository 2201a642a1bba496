"""Extraction: what is read on a page, and pages that parsers cannot end or survive."""

import json
import signal
import subprocess
import sys

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from local_context import LocalContext

from pipeline.contract import Node
from pipeline.errors import DataError
from stages.extract.apart import Apart, NoText
from stages.extract.extract import Extract
from stages.extract.work import most, work
from tests.data_debian import DebianUnavailable, unpacked

SENTENCE = "The mill stands by the river, and its wheel has turned for two hundred years without a pause. "
PAGE = f"""<html><head><title> The  old
mill </title><script>var hidden = 1;</script></head><body>
<nav><ul><li><a href="/">Home</a></li><li><a href="/about">About us</a></li></ul></nav>
<main><article><h1>The mill</h1><p>{SENTENCE * 3}</p><p>{SENTENCE * 3}<a href="http://b/">More</a></p></article></main>
<footer>Copyright notice</footer></body></html>"""


def extract(pages, **fields):
    node = Extract(docs=Node(), **fields)
    node.check()
    ids = [f"page-{number}" for number in range(len(pages))]
    found = node.open(LocalContext(node, "."))(pa.table({"id": ids, "text": pages}))  # type: ignore[arg-type]
    assert found.text is not None
    removed = node.decide(pa.table(found.added))
    return found, removed.reason.to_pylist()


@pytest.mark.parametrize("engine", ["resiliparse", "trafilatura"])
def test_the_main_content_the_title_and_the_links_are_found(engine):
    found, reasons = extract([PAGE], engine=engine, keep_links=True)
    (text,) = found.text.to_pylist()
    assert text.count(SENTENCE.strip()) == 6
    assert not [word for word in ("hidden", "Copyright", "About us") if word in text]
    assert found.added["title"].to_pylist() == ["The old mill"]
    assert found.added["n_links"].to_pylist() == [3]
    assert found.added["links"].to_pylist() == ['["/", "/about", "http://b/"]']
    assert reasons == [None]


def test_without_main_content_all_visible_text_is_taken():
    found, _ = extract([PAGE], main_content=False)
    assert found.text is not None
    assert "About us" in found.text[0].as_py()


def test_a_page_without_text_has_its_reason_and_keeps_its_html():
    found, reasons = extract(["<html><body><script>x</script></body></html>", PAGE])
    assert reasons == ["extract.empty", None]
    assert found.text.to_pylist()[0] is None


def library(html):
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLTree

    return extract_plain_text(HTMLTree.parse(html), main_content=True)


def test_links_of_a_long_page_are_counted_and_kept_without_a_search_for_each():
    """A search of the page for each of 30,000 links took longer than the 30 s that ended a page once."""
    page = "<html><body><main>" + f'<p>{SENTENCE}<a href="http://b/">more</a></p>' * 30_000 + "</main></body></html>"
    for keep in (False, True):
        found, reasons = extract([page], keep_links=keep)
        assert (reasons, found.added["n_links"].to_pylist()) == ([None], [30_000])
        assert found.text.to_pylist() == [library(page)]
    assert json.loads(found.added["links"][0].as_py()) == ["http://b/"] * 30_000


def test_manuals_have_the_text_that_the_library_reads_and_none_is_lost():
    """60 pages; the largest has 968 kB."""
    import lxml.html

    try:
        trees = {name: unpacked(name) for name in ("bash-doc", "git-doc")}
    except DebianUnavailable as reason:
        pytest.skip(str(reason))
    paths = sorted((trees["git-doc"] / "usr/share/doc/git-doc").glob("*.html"), key=lambda path: -path.stat().st_size)
    paths = [trees["bash-doc"] / "usr/share/doc/bash/bashref.html", *[path for path in paths if path.is_file()][:59]]
    pages = [path.read_text("utf-8") for path in paths]
    assert len(pages) == 60
    assert len(pages[0]) > 900_000
    found, reasons = extract(pages)
    assert set(reasons) == {None}
    assert found.text.to_pylist() == [library(page) for page in pages]
    links = [len(lxml.html.fromstring(page.encode()).xpath("//a[@href]")) for page in pages]
    assert found.added["n_links"].to_pylist() == links


def test_bounds_stop_a_page_before_it_is_parsed():
    deep = "<div>" * 30_000 + SENTENCE  # takes resiliparse more than 20 s
    _, reasons = extract([deep, "<p>" * 30_000 + SENTENCE, PAGE, PAGE * 100], max_chars=200_000)
    assert reasons == ["extract.too_deep", None, None, None]
    assert extract([PAGE], max_chars=100)[1] == ["extract.too_large"]
    wide = "<div>" * 990 + f"{SENTENCE}<br>" * 60_000  # would take it half a minute and more
    words = "<b " + " ".join(f"word{number}" for number in range(100_000))  # attributes, all of them
    assert extract([wide, words, PAGE * 5000])[1] == ["extract.too_much_work"] * 2 + [None]


def test_the_work_of_a_page_is_that_of_the_elements_around_its_tags():
    assert work("<div><p>a<p>b<p>c</div><div><br><img><b>x</b></div>") == (2, 0 + 3 + 1 + 0 + 1 + 1 + 1 + 2 + 1)
    assert work("<div></span></i><div></div>").depth == 2, "an end tag without a start closes nothing"
    assert work("<script>'<div>' + '<div>'</SCRIPT><b><!-- <i> -- <i> --></b><b>").depth == 1
    assert work("<svg><g>" + '<path d="M 0 0"/>' * 9 + "</g></svg>").depth == 2, "an element of SVG may close itself"
    assert work("<span/>" * 9).depth == 9, "no other may"
    assert work('<p title="' + "a b " * 2000 + '">').steps == 0, "words between quotes are no attributes"
    assert work("<p " + "a " * 2000 + ">").steps == 2000**2 // 200


@given(st.lists(st.sampled_from(["<div>", "</div>", "<p>", "</b>", "<B>", "<svg>", "<g/>", "</svg>", "<script>", "x"])))
def test_what_the_work_cannot_exceed_is_told_by_the_length(tags):
    page = "".join(tags) + "</script>"
    assert work(page).depth <= most(page).depth
    assert work(page).steps <= most(page).steps


def test_a_parser_that_finds_no_end_is_an_error_and_no_reason():
    deep = "<div>" * 30_000 + SENTENCE
    bounds = {"max_depth": 10**6, "max_work": 10**9}
    with pytest.raises(DataError, match=r"page-1 of 150,094 characters: .* no end in 0.5 s of CPU, twice.*`skip`"):
        extract([PAGE, deep, PAGE], **bounds, time_limit=0.5)
    assert extract([PAGE, deep, PAGE], **bounds, time_limit=0.5, skip=("page-1",))[1] == [None, "extract.skipped", None]


def dying(folder, how):
    """An `Apart` whose process ends as `how` says when a page comes, so often as the folder lets it."""
    apart = Apart("resiliparse", True, False, 10)
    code = f"""
import os, pathlib, resource, signal, sys
from stages.extract import child, engines
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
real, times = engines.extractor, pathlib.Path({str(folder)!r})
def extractor(*fields):
    extract = real(*fields)
    def page(html):
        if "wheel" in html and (left := sorted(times.iterdir())):
            left[0].unlink()
            {how}
        return extract(html)
    return page
engines.extractor = extractor
child.main()
"""
    apart._command = [sys.executable, "-c", code, *apart._command[4:]]
    return apart


def test_a_page_that_crashes_the_parser_twice_has_a_reason_and_the_next_one_is_extracted(tmp_path):
    apart = dying(tmp_path, "os.kill(os.getpid(), signal.SIGSEGV)")
    for number in range(2):
        (tmp_path / str(number)).touch()
    with pytest.raises(NoText, match="crashed"):
        apart.extract(PAGE)
    assert SENTENCE.strip() in apart.extract(PAGE)[0]


@pytest.mark.parametrize(
    "how", ["os.kill(os.getpid(), signal.SIGKILL)", "raise MemoryError", "sys.exit(3)",
            "print('memory allocation of 9 bytes failed', file=sys.stderr, flush=True); os.abort()"]
)  # fmt: skip
def test_a_process_that_the_machine_has_ended_is_no_reason(tmp_path, how):
    apart = dying(tmp_path, how)
    (tmp_path / "once").touch()
    assert SENTENCE.strip() in apart.extract(PAGE)[0], "it is tried again"
    for number in range(2):
        (tmp_path / str(number)).touch()
    with pytest.raises(DataError, match=r"page-7 of .* ended twice.*run again where more memory is free"):
        apart.extract(PAGE, "page-7")


def test_a_process_that_was_killed_between_two_pages_is_started_again():
    apart = Apart("resiliparse", True, False, 10)
    apart.extract(PAGE)
    assert apart._process is not None
    apart._process.send_signal(signal.SIGKILL)
    apart._process.wait()
    assert SENTENCE.strip() in apart.extract(PAGE)[0]


def test_references_to_what_no_text_may_hold_are_taken_out():
    found, _ = extract([f"<p>{SENTENCE}&#0; &#xD800; end</p>"], main_content=False)
    text = found.text[0].as_py()
    text.encode("utf-8")
    assert "\0" not in text
    assert text.endswith("end")


def test_a_process_that_does_not_start_is_an_error_and_no_page_is_lost(monkeypatch):
    apart = Apart("resiliparse", True, False, 10)
    apart._command = [sys.executable, "-c", "raise SystemExit('no library')"]
    with pytest.raises(Exception, match="does not start: no library"):
        apart.extract(PAGE)


def test_the_process_ends_with_the_worker():
    code = (
        "from stages.extract.apart import Apart; a = Apart('resiliparse', True, False, 10); a.extract('<p>x</p>');"
        "print(a._process.pid, flush=True); import os; os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    import psutil

    pid = int(done.stdout)
    if psutil.pid_exists(pid):
        psutil.Process(pid).wait(20)
    assert not psutil.pid_exists(pid)
