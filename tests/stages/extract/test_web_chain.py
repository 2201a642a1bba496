"""From a web archive of real pages to documents of one language, through the engine."""

import gzip
import sys
from pathlib import Path

import pytest

from siftloom import Pipeline
from siftloom import stages as s
from tests.data_debian import DebianUnavailable, unpacked

sys.path.insert(0, str(Path(__file__).parents[1] / "read"))
from test_pages import record

CHARSETS = {"en": "utf-8", "de": "iso-8859-1", "ru": "koi8-r"}


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """The pages of Debian's FAQ in three languages; the German and Russian ones as older servers send them, without a
    word of it in the page itself."""
    path = tmp_path_factory.mktemp("web") / "faq.warc.gz"
    with path.open("wb") as out:
        for language, charset in CHARSETS.items():
            try:
                tree = unpacked("debian-faq" if language == "en" else f"debian-faq-{language}")
            except DebianUnavailable as reason:
                pytest.skip(str(reason))
            for page in sorted(tree.rglob(f"*.{language}.html")):
                body = page.read_text("utf-8").replace("charset=UTF-8", "").replace("charset=utf-8", "")
                url = f"http://faq/{language}/{page.name}"
                data = record(body.encode(charset, "xmlcharrefreplace"), f"text/html; charset={charset}", url=url)
                out.write(gzip.compress(data, mtime=0))
        out.write(gzip.compress(record(b"<div>" * 40_000, url="http://faq/en/deep.html")))
    return path


def run(archive, store, engine):
    raw = s.Read(paths=(str(archive),), keep=("url", "charset"))
    text = s.Extract(docs=raw, engine=engine)
    english = s.Language(docs=text, keep=("en",))
    nodes = {"raw": raw, "text": text, "english": english}
    return Pipeline([english], name=engine, store=str(store), names=nodes).run(here=True, progress=False)


@pytest.mark.parametrize("engine", ["resiliparse", "trafilatura"])
def test_pages_become_documents_of_their_language(archive, tmp_path, engine):
    found = run(archive, tmp_path, engine)
    pages = found["text"].rows(["url", "text", "title", "n_links", "charset"]).to_pylist()
    by_language = {name: [row for row in pages if f"/{name}/" in row["url"]] for name in CHARSETS}
    assert min(map(len, by_language.values())) > 10
    assert {row["charset"] for row in by_language["ru"]} == {"koi8-r"}
    assert sum("Debian" in row["text"] for row in pages) > 0.9 * len(pages)
    assert all("�" not in row["text"] and "<div" not in row["text"] for row in pages)
    assert all(row["title"] and row["n_links"] > 3 for row in pages)
    assert any("Häufig" in row["text"] or "für" in row["text"] for row in by_language["de"])
    assert sum("Глава" in (row["title"] + row["text"]) or "Debian" in row["text"] for row in by_language["ru"]) > 10
    (deep,) = found["text"].removed().to_pylist()
    assert (deep["reason"], deep["node"]) == ("extract.too_deep", "text")
    kept = found["english"].rows(["url", "text"]).to_pylist()
    # a translation leaves some pages, or the beginning of one, in English; a sure model reads 300 characters
    others = [row["text"] for row in kept if "/en/" not in row["url"]]
    assert all(sum(map(str.isascii, text[:300])) > 0.95 * 300 for text in others)
    assert len(others) < 6
    assert len(kept) - len(others) >= len(by_language["en"]) - 1
