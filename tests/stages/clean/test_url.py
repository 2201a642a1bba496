"""Addresses and lists: hosts and those below them, words, and what the files have to do with identity."""

import gzip

import pytest
from local_context import LocalContext
from rows import applied

from pipeline.errors import DataError, RecipeError, SourceError
from stages.clean import url_lists
from stages.clean.url import Url
from stages.read.read import Read
from stages.read.streams import decompress

DOCS = Read(paths=("unread",), keep=("url",))


def look(folder, urls, fields=("domains", "urls", "strict", "hard", "soft", "allow"), **more):
    lists = {
        "domains": b"# a comment\nbad.example\n\nWWW.Worse.example\n",
        "urls": b"http://www.shop.example/offer/\nshop.example/a?b=1\n",
        "strict": b"casi-no\nfree.bet\n-.-\n",  # a rule is no letter, and stands in every address
        "hard": b"\xef\xbb\xbfpoker\n",  # as editors on Windows write it
        "soft": gzip.compress(b"webcam\nescort\nlive\n"),
        "allow": b"good.bad.example\n",
    }
    for name, text in lists.items():
        folder.joinpath(name).write_bytes(text)
    paths = {name: (str(folder / name),) for name in fields}
    node = Url(docs=DOCS, **paths, **more)
    return applied(node, None, LocalContext(node, folder, files=paths), url=urls)


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("https://bad.example/", "domain"),
        ("https://deep.er.bad.example:8080/x", "domain"),
        ("https://a.b.c.d.e.f.g.h.i.j.bad.example/", "domain"),
        ("https://bad.example./x", "domain"),
        ("http://notbad.example/", None),
        ("https://worse.example", "domain"),
        ("//user:pw@www.worse.example/path", "domain"),
        ("https://good.bad.example/poker", None),
        ("https://shop.example/offer", "exact"),
        ("HTTP://SHOP.example/A?b=1", "exact"),
        ("https://shop.example/offer/2", None),
        ("https://a.example/my-cas-ino", "strict"),
        ("https://freebet.example", "strict"),
        ("https://a.example/video-poker.html", "hard"),
        ("https://a.example/pokers", None),
        ("https://a.example/webcam/escort", "soft"),
        ("https://a.example/webcam/webcam", None),
        ("https://a.example/?q=LIVE+webcam", "soft"),
        ("", None),
        (None, None),
    ],
)
def test_an_address_is_removed_for_its_list(tmp_path, url, rule):
    _, reasons, _ = look(tmp_path, ["https://fine.example/page", url])
    assert reasons == [None, rule and f"url.{rule}"]


@pytest.mark.parametrize("packed", [True, False])
def test_a_list_that_no_memory_holds_is_an_error_before_it_is_read(tmp_path, monkeypatch, packed):
    """64 MB of zeros in a gzip file of 64 kB were unpacked at once."""
    monkeypatch.setattr(url_lists, "MOST", 1 << 20)
    taken = []
    monkeypatch.setattr(url_lists, "decompress", lambda *given: (taken.append(c) or c for c in decompress(*given)))
    words = bytes(64 << 20)
    (tmp_path / "bomb").write_bytes(gzip.compress(words) if packed else words)
    node = Url(docs=DOCS, hard=(str(tmp_path / "bomb"),))
    with pytest.raises(DataError, match=r"bomb: more than 1 MiB of words.*Next: split the list"):
        url_lists.entries(LocalContext(node, tmp_path, files={"hard": (str(tmp_path / "bomb"),)}), "hard")
    assert sum(map(len, taken)) <= 2 << 20


def test_a_list_that_is_cut_off_is_named(tmp_path):
    (tmp_path / "words.gz").write_bytes(gzip.compress(b"poker\n" * 1000)[:-9])
    files = {"hard": (str(tmp_path / "words.gz"),)}
    with pytest.raises(SourceError, match=r"words.gz: damaged gzip data.*fetch it again"):
        url_lists.entries(LocalContext(Url(docs=DOCS, **files), tmp_path, files=files), "hard")


def test_soft_words_are_a_threshold_and_lists_may_be_missing(tmp_path):
    urls = ["https://a.example/webcam/escort/live", "https://bad.example"]
    scores, reasons, _ = look(tmp_path, urls, fields=("soft",), min_soft_words=4)
    assert scores == {"url_listed": [None, None], "url_soft_words": [3, 0]}
    assert reasons == [None, None]


def test_many_strict_entries_are_all_looked_for(tmp_path):
    (tmp_path / "long").write_text("\n".join(f"bad{i}x" for i in range(1000)))
    node = Url(docs=DOCS, strict=(str(tmp_path / "long"),))
    ctx = LocalContext(node, tmp_path, files={"strict": [tmp_path / "long"]})
    _, reasons, _ = applied(node, None, ctx, url=[f"https://a.example/bad{i}x" for i in (0, 399, 400, 999, 1000)])
    assert reasons == ["url.strict"] * 4 + [None]


def test_mistakes_are_named(tmp_path):
    with pytest.raises(RecipeError, match="no list at all"):
        Url(docs=DOCS).check()
    with pytest.raises(RecipeError, match=r"no column 'url'.*keep"):
        Url(docs=Read(paths=("unread",)), hard=("x",)).check()
    (tmp_path / "bad").write_bytes(b"\xff\xfe")
    node = Url(docs=DOCS, hard=(str(tmp_path / "bad"),))
    with pytest.raises(DataError, match=r"bad: .*UTF-8"):
        node.open(LocalContext(node, tmp_path, files={"hard": [tmp_path / "bad"]}))
