"""Extraction: what is read on a page, and pages that parsers cannot end or survive."""

import subprocess
import sys

import pyarrow as pa
import pytest
from local_context import LocalContext

from pipeline.contract import Node
from stages.extract.apart import Apart, Failed
from stages.extract.extract import Extract, depth

SENTENCE = "The mill stands by the river, and its wheel has turned for two hundred years without a pause. "
PAGE = f"""<html><head><title> The  old
mill </title><script>var hidden = 1;</script></head><body>
<nav><ul><li><a href="/">Home</a></li><li><a href="/about">About us</a></li></ul></nav>
<main><article><h1>The mill</h1><p>{SENTENCE * 3}</p><p>{SENTENCE * 3}<a href="http://b/">More</a></p></article></main>
<footer>Copyright notice</footer></body></html>"""


def extract(pages, **fields):
    node = Extract(docs=Node(), **fields)
    node.check()
    found = node.open(LocalContext(node, "."))(pa.table({"text": pages}))  # type: ignore[arg-type]
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
    assert "About us" in found.text[0].as_py()


def test_a_page_without_text_has_its_reason_and_keeps_its_html():
    found, reasons = extract(["<html><body><script>x</script></body></html>", PAGE])
    assert reasons == ["extract.empty", None]
    assert found.text.to_pylist()[0] is None


def test_bounds_stop_a_page_before_it_is_parsed():
    deep = "<div>" * 30_000 + SENTENCE  # takes resiliparse more than 20 s
    _, reasons = extract([deep, "<p>" * 30_000 + SENTENCE, PAGE, PAGE * 100], max_chars=200_000)
    assert reasons == ["extract.too_deep", None, None, None]
    assert extract([PAGE], max_chars=100)[1] == ["extract.too_large"]
    assert depth("<div><p>a<p>b<p>c</div><div><br><img><b>x</b></div>") == 2


def test_a_page_that_takes_too_long_is_ended_and_the_next_one_is_extracted():
    deep = "<div>" * 30_000 + SENTENCE
    _, reasons = extract([PAGE, deep, PAGE], max_depth=10**6, time_limit=0.5)
    assert reasons == [None, "extract.time_limit", None]


def test_a_page_that_ends_its_process_is_named_and_the_next_one_is_extracted(monkeypatch):
    apart = Apart("resiliparse", True, 10)
    assert SENTENCE.strip() in apart.extract(PAGE)[0]
    assert apart._process is not None
    apart._process.kill()
    apart._process.wait()
    with pytest.raises(Failed, match="crashed"):
        apart.extract(PAGE)
    assert SENTENCE.strip() in apart.extract(PAGE)[0]


def test_references_to_what_no_text_may_hold_are_taken_out():
    found, _ = extract([f"<p>{SENTENCE}&#0; &#xD800; end</p>"], main_content=False)
    text = found.text[0].as_py()
    text.encode("utf-8")
    assert "\0" not in text
    assert text.endswith("end")


def test_a_process_that_does_not_start_is_an_error_and_no_page_is_lost(monkeypatch):
    apart = Apart("resiliparse", True, 10)
    apart._command = [sys.executable, "-c", "raise SystemExit('no library')"]
    with pytest.raises(Exception, match="does not start: no library"):
        apart.extract(PAGE)


def test_the_process_ends_with_the_worker():
    code = (
        "from stages.extract.apart import Apart; a = Apart('resiliparse', True, 10); a.extract('<p>x</p>');"
        "print(a._process.pid, flush=True); import os; os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    import psutil

    pid = int(done.stdout)
    if psutil.pid_exists(pid):
        psutil.Process(pid).wait(20)
    assert not psutil.pid_exists(pid)
