"""Pages as files and in web archives: their text in whatever charset, and what is no page."""

import gzip

import pytest
from test_read_files import balance, documents, read, rejected

from pipeline.errors import SourceError

PAGE = "<html><head>{meta}<title>Über</title></head><body><p>Grüße aus Köln, und noch ein Satz dazu.</p></body></html>"


def record(body: bytes, kind="text/html", status="200 OK", headers="", url="http://a/", of="response") -> bytes:
    """A WARC record around an HTTP answer, or around the bare body."""
    if of == "response":
        head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{headers}\r\n"
        block, kind = head.encode() + body, "application/http; msgtype=response"
    else:
        block = body
    top = (
        f"WARC/1.0\r\nWARC-Type: {of}\r\nWARC-Record-ID: <urn:uuid:{url}>\r\nWARC-Target-URI: {url}\r\n"
        f"WARC-Date: 2020-01-01T00:00:00Z\r\nContent-Type: {kind}\r\nContent-Length: {len(block)}\r\n\r\n"
    )
    return top.encode() + block + b"\r\n\r\n"


ARCHIVE = [
    record(b"software: x\r\n", "application/warc-fields", of="warcinfo", url="i"),
    record(PAGE.format(meta="").encode(), "text/html; charset=utf-8", url="u"),
    record(PAGE.format(meta="").encode("latin-1"), "text/html; charset=iso-8859-1", url="l"),
    record(PAGE.format(meta='<meta charset="windows-1252">').encode("cp1252"), url="m"),
    record(PAGE.format(meta="").encode(), "text/html; charset=no-such-thing", url="n"),
    record(gzip.compress(b"<p>packed</p>"), headers="Content-Encoding: gzip\r\n", url="z"),
    record(b"not packed at all", headers="Content-Encoding: gzip\r\n", url="y"),
    record(b"\x89PNG", "image/png", url="p"),
    record(b"a { color: red }", "text/css", url="c"),
    record(b"<p>gone</p>", status="404 Not Found", url="g"),
    record(b"20100101\nhost. 300 IN A 192.0.2.1\n", "text/dns", of="resource", url="d"),  # as Heritrix writes
    record(b"GET / HTTP/1.1\r\n\r\n", "application/http; msgtype=request", of="request", url="q"),
    record("reiner Text, größer".encode(), "text/plain", of="conversion", url="w"),
]


@pytest.mark.parametrize("packed", [False, True])
def test_an_archive_gives_its_pages_in_their_charsets(tmp_path, packed):
    path = tmp_path / ("a.warc.gz" if packed else "a.warc")
    path.write_bytes(b"".join(gzip.compress(r) for r in ARCHIVE) if packed else b"".join(ARCHIVE))
    ctx, _, results = read(tmp_path / "out", [path], keep=("url", "charset", "date", "content_type"))
    found = {row["url"]: row for row in documents(ctx, results)}
    assert {url: row["charset"] for url, row in found.items()} == {
        "u": "utf-8", "l": "cp1252", "m": "cp1252", "n": "utf-8", "z": "utf-8", "w": "utf-8"
    }  # fmt: skip
    assert all("Grüße aus Köln" in found[url]["text"] for url in "ulmn")
    assert found["z"]["text"] == "<p>packed</p>"
    assert found["w"]["content_type"] == "text/plain"
    assert found["u"]["source_id"] == "<urn:uuid:u>"
    assert found["u"]["date"] == "2020-01-01T00:00:00Z"
    assert [row["id"].split(":")[1] for row in found.values()] == ["1", "2", "3", "4", "5", "12"]
    assert [(entry["line"], entry["reason"]) for entry in rejected(ctx, results)] == [
        (7, "bad_record"), (8, "not_text"), (9, "not_text"), (10, "http_status"), (11, "not_text")
    ]  # fmt: skip


def test_an_archive_that_ends_in_a_record_puts_it_aside(tmp_path):
    whole = b"".join(ARCHIVE[:3])
    (tmp_path / "a.warc").write_bytes(whole[:-60])
    _, _, results = read(tmp_path / "out", [tmp_path / "a.warc"])
    assert balance(results) == {"rows": 2, "kept": 1, "rejected.cut_off": 1}
    (tmp_path / "a.warc.gz").write_bytes(gzip.compress(whole)[:-30])
    with pytest.raises(SourceError, match=r"a\.warc\.gz: damaged gzip"):
        read(tmp_path / "out2", [tmp_path / "a.warc.gz"])


def test_what_is_no_archive_is_named(tmp_path):
    (tmp_path / "a.warc").write_bytes(b"garbage garbage\r\n" * 10)
    with pytest.raises(SourceError, match=r"a\.warc: record 0 cannot be parsed"):
        read(tmp_path / "out", [tmp_path / "a.warc"])


def test_pages_as_files_are_decoded_as_they_say_themselves(tmp_path):
    pages = {
        "a.html": PAGE.format(meta='<meta http-equiv="Content-Type" content="text/html; charset=ISO-8859-1">'),
        "b.htm": PAGE.format(meta=""),
        "c.xhtml": PAGE.format(meta='<meta charset="unknown-8bit">'),
    }
    for name, page in pages.items():
        (tmp_path / name).write_bytes(page.encode("utf-8" if name == "b.htm" else "latin-1"))
    (tmp_path / "folder.html").mkdir()
    ctx, _, results = read(tmp_path / "out", sorted(tmp_path.glob("*.*htm*"))[:3], keep=("charset",))
    found = documents(ctx, results)
    assert [row["text"] for row in found] == list(pages.values())
    assert found[1]["charset"] == "utf-8"


@pytest.mark.parametrize(
    ("said", "codec", "text"),
    [
        ("utf-16", "utf-8", "Größe und Maß, even"),  # what names UTF-16 in single bytes is not UTF-16 (HTML, 13.2.3.3)
        ("utf-16", "utf-8", "Größe und Maße, odd"),
        ("x-user-defined", "cp1252", "Größe"),
        ("shift_jis", "cp932", "①髙 日本語"),  # letters that the standard of this name lacks and every browser knows
        ("euc-kr", "cp949", "똠방각하 한국어"),
        ("gb2312", "gb18030", "镕基 汉语"),
        ("big5", "big5hkscs", "咗嘅 中文"),
    ],
)
def test_a_page_that_names_its_charset_is_read_as_browsers_read_it(said, codec, text):
    from stages.read.charset import decode_page

    page = f'<html><head><meta charset="{said}"></head><p>{text}</p></html>'
    assert decode_page(page.encode(codec))[0] == page


def test_a_length_that_is_no_number_is_named(tmp_path):
    good, bad = record(b"<p>one</p>", url="a"), record(b"<p>two</p>", url="b")
    size = len(bad.partition(b"\r\n\r\n")[2]) - 4
    bad = bad.replace(b"Content-Length: %d" % size, "Content-Length: ²".encode(), 1)  # a digit that is no number
    (tmp_path / "a.warc").write_bytes(good + bad)
    with pytest.raises(SourceError, match="record 2 cannot be parsed"):  # where record 1 ends nobody knows
        read(tmp_path / "out", [tmp_path / "a.warc"])


def test_what_decodes_pages_is_part_of_the_identity_and_of_the_keys(monkeypatch):
    from importlib import metadata

    from stages.read import layout
    from stages.read.read import Read

    node, names, seen = Read(paths=("x",)), ["a.html", "b.jsonl"], []
    for release in ("2.0.1", "2.0.2"):
        layout.mark_of.cache_clear()
        monkeypatch.setattr(metadata, "version", lambda name, release=release: release)
        seen.append(node.source_marks("paths", names))
    layout.mark_of.cache_clear()
    assert seen == [["html-2_0_1", "jsonl"], ["html-2_0_2", "jsonl"]]
    assert Read(paths=("x",), encoding="detect").libraries == ("charset-normalizer",)
