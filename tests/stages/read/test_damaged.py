"""A damaged file ends `read`, or is left out whole: counted, named with the byte and the reason."""

import bz2
import gzip
import io
import json
import lzma
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_pages import ARCHIVE
from test_read_files import balance, documents, read, rejected

from pipeline.errors import SourceChanged, SourceDamaged
from siftloom import Pipeline
from siftloom import stages as s

GOOD = [f"a good document number {i}" for i in range(5)]
BAD = [f"a document of the damaged file, number {i}, {i * 7919 % 1009}" for i in range(3000)]


def lines(texts) -> bytes:
    return "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()


def flipped(data: bytes, at: float) -> bytes:
    place = int(len(data) * at)
    return data[:place] + bytes(byte ^ 0xFF for byte in data[place : place + 4]) + data[place + 4 :]


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": BAD}), sink, row_group_size=1000, write_page_checksum=True)
    return sink.getvalue()


def arrow() -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, pa.schema([("text", pa.string())])) as out:
        out.write_table(pa.table({"text": BAD}), max_chunksize=1000)
    return sink.getvalue()


def archive() -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as out:
        for number, text in enumerate(BAD[:50]):
            member = tarfile.TarInfo(f"{number}.txt")
            member.size = len(text)
            out.addfile(member, io.BytesIO(text.encode()))
    return sink.getvalue()


packed = gzip.compress(lines(BAD), mtime=0)
DAMAGED = {
    "cut.jsonl.gz": packed[:-3000],
    "middle.jsonl.gz": flipped(packed, 0.5),
    "crc.jsonl.gz": packed[:-8] + b"\0\0\0\0" + packed[-4:],
    "none.jsonl.gz": b"<html>502 Bad Gateway</html>",
    "cut.jsonl.zst": pa.Codec("zstd").compress(lines(BAD), asbytes=True)[:-40],
    "cut.jsonl.bz2": bz2.compress(lines(BAD))[:-40],
    "middle.jsonl.bz2": flipped(bz2.compress(lines(BAD)), 0.5),
    "middle.jsonl.xz": flipped(lzma.compress(lines(BAD)), 0.5),
    "none.jsonl.xz": b"<html>502 Bad Gateway</html>",
    "cut.json": lines(BAD).replace(b"}\n", b"},\n").join([b"[", b""]),
    "footer.parquet": parquet()[:-20],
    "page.parquet": flipped(parquet(), 0.5),
    "cut.arrow": arrow()[:-2000],
    "cut.tar": archive()[:-20_000],
    "record.warc": ARCHIVE[1] + b"junk junk\r\n" * 20 + ARCHIVE[2],
    "member.warc.gz": gzip.compress(ARCHIVE[1]) + flipped(gzip.compress(ARCHIVE[2]), 0.6) + gzip.compress(ARCHIVE[3]),
    "page.html.gz": gzip.compress(b"<html>" + lines(BAD))[:-900],
    "cut.csv.gz": gzip.compress("\n".join(["text", *BAD]).encode())[:-900],
}


def around(tmp_path, name):
    """Files before and after the damaged one, of its format where files share a task, and the damaged one."""
    ending = ".html" if ".html" in name else ".jsonl"
    paths = [tmp_path / f"a{ending}", tmp_path / name, tmp_path / f"z{ending}"]
    for path, texts in ((paths[0], GOOD[:2]), (paths[2], GOOD[2:])):
        path.write_bytes(lines(texts) if ending == ".jsonl" else texts[0].encode())
    paths[1].write_bytes(DAMAGED[name])
    return paths


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_an_error_or_is_left_out_whole(tmp_path, name):
    files = around(tmp_path, name)
    with pytest.raises(SourceDamaged, match=rf"{name}.*on_damaged: skip"):
        read(tmp_path / "fail", files)
    ctx, node, results = read(tmp_path / "skip", files, on_damaged="skip", shard_bytes=20_000)
    ctx2, _, results2 = read(tmp_path / "without", [files[0], files[2]], shard_bytes=20_000)
    assert [row["text"] for row in documents(ctx, results)] == [row["text"] for row in documents(ctx2, results2)]
    assert balance(results)["kept"] == balance(results2)["kept"] > 0
    assert balance(results)["damaged_files"] == 1
    (entry,) = [entry for result in results.values() for entry in result.facts.get("damaged", ())]
    assert entry["digest"] == {source.name: source.digest for source in ctx.sources()}[name]
    assert entry["found"]
    if name.endswith((".gz", ".zst", ".bz2", ".xz", ".arrow", ".tar", ".warc", "page.parquet")):
        assert 0 <= entry["byte"] <= len(DAMAGED[name])
    (table,) = [figure for figure in node.figures(ctx) if "damaged" in figure["title"]]
    assert table["rows"] == [[name, "" if entry["byte"] is None else entry["byte"], entry["found"]]]
    if not name.endswith(".parquet"):  # of which the survey has told
        assert [each["digest"] for each in rejected(ctx, results) if each["reason"] == "damaged"] == [entry["digest"]]


def test_a_file_that_is_being_written_is_no_damaged_one(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(packed)
    from stages.read.read import Read
    from tests.stages.local_context import LocalContext

    node = Read(paths=(str(path),), on_damaged="skip")
    ctx = LocalContext(node, tmp_path / "out", files={"paths": [path]})
    path.write_bytes(flipped(packed, 0.5))
    with pytest.raises(SourceChanged):
        ctx.run_all()


def test_a_limit_counts_no_rows_of_a_damaged_file(tmp_path):
    files = around(tmp_path, "crc.jsonl.gz")
    ctx, _, results = read(tmp_path / "out", files, on_damaged="skip", limit=4)
    assert [row["text"] for row in documents(ctx, results)] == GOOD[:4]


def test_a_run_over_a_damaged_file_says_so_in_its_report(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    around(folder, "middle.jsonl.gz")
    (folder / "page.parquet").write_bytes(DAMAGED["page.parquet"])
    docs = s.Read(paths=(str(folder),), on_damaged="skip")
    run = Pipeline([docs], name="r", store=str(tmp_path / "store"), names={"docs": docs}).run(here=True, progress=False)
    assert sorted(run["docs"].rows(["text"])["text"].to_pylist()) == sorted(GOOD)
    page = Path(str(run.report()).removeprefix("file://")).read_text()
    assert "Files that are damaged and left out" in page
    assert "middle.jsonl.gz" in page
    assert "page.parquet" in page
