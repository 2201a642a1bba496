"""Every format gives the same documents; what is damaged in one is named, or put aside with its reason."""

import csv
import gzip
import io
import json
import tarfile

import datasets
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from local_context import LocalContext
from test_read_files import balance, documents, read, rejected, write

from pipeline.errors import DataError, RecipeError, SourceChanged, SourceError
from stages.read.read import Read

TEXTS = ["one", "zwei\nlines, and a comma", 'drei "quoted" ü', "四"]
ROWS = [{"text": text, "id": f"n{i}", "meta": {"url": f"http://a/{i}"}} for i, text in enumerate(TEXTS)]


def table() -> pa.Table:
    return pa.Table.from_pylist(ROWS)


def json_array(path):
    path.write_text(json.dumps(ROWS, indent=1))


def json_lines(path):
    path.write_text("\n".join(map(json.dumps, ROWS)))


def comma_table(path, delimiter=","):
    with open(path, "w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, delimiter=delimiter)
        out.writerow(["id", "text", "meta.url"])
        out.writerows([row["id"], row["text"], row["meta"]["url"]] for row in ROWS)


def tab_table(path):
    comma_table(path, "\t")


def arrow_file(path):
    with pa.ipc.new_file(path, table().schema) as out:
        out.write_table(table(), max_chunksize=2)


def arrow_stream(path):
    with pa.ipc.new_stream(path, table().schema) as out:
        out.write_table(table(), max_chunksize=2)


def feather(path):
    pa.feather.write_feather(table(), str(path))


def parquet(path):
    pq.write_table(table(), path, row_group_size=3)


def samples(path):
    """A tar in which text and fields lie in files of their own."""
    with tarfile.open(path, "w") as out:
        for row in ROWS:
            rest = {name: value for name, value in row.items() if name != "text"}
            for ending, data in (("json", json.dumps(rest).encode()), ("txt", row["text"].encode()), ("jpg", b"\xff")):
                member = tarfile.TarInfo(f"folder/{row['id']}.{ending}")
                member.size = len(data)
                out.addfile(member, io.BytesIO(data))


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("a.json", json_array), ("b.json", json_lines), ("a.jsonl", json_lines), ("a.csv", comma_table),
        ("a.tsv", tab_table), ("a.arrow", arrow_file), ("b.arrow", arrow_stream), ("a.feather", feather),
        ("a.parquet", parquet), ("a.tar", samples),
    ],
)  # fmt: skip
@pytest.mark.parametrize("packed", [False, True])
def test_a_format_gives_texts_ids_and_fields_in_fields(tmp_path, name, make, packed):
    path = tmp_path / name
    make(path)
    if packed and make is not parquet:
        path.write_bytes(gzip.compress(path.read_bytes()))  # under its plain name
    ctx, _, results = read(tmp_path / "out", [path], keep=("url=meta.url",))
    found = documents(ctx, results)
    assert [(row["text"], row["source_id"], row["url"]) for row in found] == [
        (row["text"], row["id"], row["meta"]["url"]) for row in ROWS
    ]
    assert [row["id"].split(":")[1] for row in found] == ["0", "1", "2", "3"]


def test_the_text_may_lie_in_a_field_of_a_field(tmp_path):
    rows = [{"doc": {"text": text, "key": i}} for i, text in enumerate(TEXTS)]
    files = [tmp_path / "a.jsonl", tmp_path / "b.parquet"]
    files[0].write_text("\n".join(map(json.dumps, rows)))
    pq.write_table(pa.Table.from_pylist(rows), files[1])
    ctx, _, results = read(tmp_path / "out", files, text="doc.text", id="doc.key")
    assert [(row["text"], row["source_id"]) for row in documents(ctx, results)] == [
        (text, str(i)) for text in TEXTS for i in ()
    ] + 2 * [(text, str(i)) for i, text in enumerate(TEXTS)]
    with pytest.raises(DataError, match=r"no field 'text'.*set `text: doc\.text`"):
        read(tmp_path / "other", files[:1])


def test_a_saved_dataset_is_read_from_its_folder_and_its_notes_are_no_documents(tmp_path):
    datasets.Dataset.from_list(ROWS).save_to_disk(str(tmp_path / "set"), num_shards=2)
    files = sorted((tmp_path / "set").iterdir())
    assert {file.suffix for file in files} == {".arrow", ".json"}
    ctx, _, results = read(tmp_path / "out", files)
    assert [row["text"] for row in documents(ctx, results)] == TEXTS


def test_a_data_set_of_the_hub_says_how_it_becomes_files(tmp_path):
    with pytest.raises(RecipeError, match=r"hf download owner/set --repo-type dataset"):
        read(tmp_path, ["hf://datasets/owner/set"])


def test_bytes_as_text_and_times_and_lists_are_kept_from_parquet(tmp_path):
    column = pa.array([b"one", "zwei ü".encode(), b"\xff", None])
    times = pa.array([0, 1, 2, 3], pa.timestamp("ms"))
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": column, "at": times, "tags": [["a"], [], ["b", "c"], None]}), path)
    ctx, _, results = read(tmp_path / "out", [path], keep=("at", "tags"))
    found = documents(ctx, results)
    assert [(row["text"], row["at"], row["tags"]) for row in found] == [
        ("one", "1970-01-01T00:00:00", '["a"]'), ("zwei ü", "1970-01-01T00:00:00.001000", "[]")
    ]  # fmt: skip
    assert [entry["reason"] for entry in rejected(ctx, results)] == ["invalid_utf8", "no_text"]


def test_a_column_that_is_there_twice_is_named(tmp_path):
    pq.write_table(pa.Table.from_arrays([pa.array(["a"])] * 2, names=["text", "text"]), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="the column 'text' 2 times"):
        read(tmp_path / "out", [tmp_path / "a.parquet"])
    (tmp_path / "a.csv").write_text("text,text\na,b\n")
    with pytest.raises(DataError, match="two columns named 'text'"):
        read(tmp_path / "out2", [tmp_path / "a.csv"])


def test_lines_of_a_table_that_do_not_fit_are_put_aside(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b'id,text\n1,good\n2\n\n3,a,b\n4,\xff\n5,"open quote\n')
    ctx, _, results = read(tmp_path / "out", [path])
    assert [row["text"] for row in documents(ctx, results)] == ["good"]
    assert [(entry["line"], entry["reason"]) for entry in rejected(ctx, results)] == [
        (2, "bad_record"), (3, "bad_record"), (4, "invalid_utf8"), (5, "bad_record")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "data", "found"),
    [
        ("a.json", b'[{"text": "a"}, {"te', "JSON that cannot be parsed"),
        ("a.json", b'[{"text": ' + b"[" * 300 + b"]" * 300 + b"}]", "nested more than 200 deep"),
        ("a.arrow", b"ARROW1\0\0 and no more", "Arrow data that cannot be read"),
        ("a.tar", b"no tar at all" * 100, "sample 0"),
    ],
)
def test_a_file_that_cannot_be_parsed_is_named(tmp_path, name, data, found):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SourceError, match=rf"{name[0]}\.{name[2:]}: .*{found}"):
        read(tmp_path / "out", [tmp_path / name])


def test_a_tar_that_is_cut_off_is_named(tmp_path):
    samples(tmp_path / "a.tar")
    (tmp_path / "a.tar").write_bytes((tmp_path / "a.tar").read_bytes()[:3300])
    with pytest.raises(SourceError, match=r"a\.tar: sample"):
        read(tmp_path / "out", [tmp_path / "a.tar"])


SENTENCE = "Über die Straße gehen die Mädchen und die Jungen nach Hause, und es ist später als gewöhnlich. "


def test_latin_1_is_put_aside_with_what_it_looks_like_and_read_when_it_is_named_or_detected(tmp_path):
    path = write(tmp_path / "a.txt", (SENTENCE * 3).encode("latin-1"), "")
    ctx, node, results = read(tmp_path / "out", [path])
    assert balance(results)["rejected.invalid_utf8"] == 1
    (entry,) = rejected(ctx, results)
    assert SENTENCE.encode("latin-1").decode(entry["looks_like"]) == SENTENCE
    assert [figure["title"] for figure in node.figures(ctx)][1].startswith("Files with rows that are not UTF-8")
    for encoding in ("latin-1", "detect"):
        ctx, node, results = read(tmp_path / f"out-{encoding}", [path], encoding=encoding)
        assert [row["text"] for row in documents(ctx, results)] == [SENTENCE * 3]
        assert [figure["title"] for figure in node.figures(ctx)] == ["Files read from another encoding than UTF-8"]
    with pytest.raises(DataError, match="set `encoding: "):
        read(tmp_path / "fail", [path], on_error="fail")
    with pytest.raises(RecipeError, match=r"read\.encoding"):
        read(tmp_path / "odd", [path], encoding="latin1000")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("range_bytes", [10, 10_000])
def test_a_byte_order_mark_is_heeded(tmp_path, encoding, range_bytes):
    lines = "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in TEXTS)
    mark = "" if encoding == "utf-8-sig" else "\ufeff"
    path = write(tmp_path / "a.jsonl", (mark + lines).encode(encoding), "")
    ctx, _, results = read(tmp_path / "out", [path], range_bytes=range_bytes)
    assert [row["text"] for row in documents(ctx, results)] == TEXTS


def test_a_misnamed_packed_file_is_told_by_its_bytes_in_ranges_too(tmp_path):
    lines = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS * 20)
    path = tmp_path / "a.jsonl"
    path.write_bytes(gzip.compress(lines.encode()))
    for range_bytes in (10, 10**6):
        ctx, _, results = read(tmp_path / f"out-{range_bytes}", [path], range_bytes=range_bytes)
        assert [row["text"] for row in documents(ctx, results)] == TEXTS * 20


@pytest.mark.parametrize("before", [b"", b"\n\n"])
@pytest.mark.parametrize("packed", [False, True])
def test_json_lines_in_a_json_file_are_told_whatever_the_first_chunk_holds(tmp_path, before, packed):
    lines = [json.dumps({"text": text}).encode() for text in ("long " * 300_000, "two", "three")]
    path = tmp_path / ("a.json.gz" if packed else "a.json")
    whole = before + b"\n".join(lines)
    # a member of ten bytes, then the rest: the first piece that unpacking gives is short
    path.write_bytes(gzip.compress(whole[:10]) + gzip.compress(whole[10:]) if packed else whole)
    ctx, _, results = read(tmp_path / "out", [path])
    assert [row["text"][:5] for row in documents(ctx, results)] == ["long ", "two", "three"]


def test_one_bad_byte_in_an_array_of_json_costs_its_row_alone(tmp_path):
    (tmp_path / "a.json").write_bytes(b'[{"text": "one"}, {"text": "tw\xff"}, {"text": "three"}]')
    ctx, _, results = read(tmp_path / "out", [tmp_path / "a.json"])
    assert [row["text"] for row in documents(ctx, results)] == ["one", "three"]
    assert [(entry["line"], entry["reason"]) for entry in rejected(ctx, results)] == [(2, "invalid_utf8")]


def test_detection_looks_at_the_same_bytes_however_they_come(tmp_path):
    from stages.read.encodings import SAMPLE, settle

    whole = b"plain words\n" * (SAMPLE // 12 + 1000) + "caf\xe9 au lait\n".encode("latin-1")
    pieces = [[whole], [whole[i : i + 1000] for i in range(0, len(whole), 1000)]]
    assert len({settle(iter(chunks), "detect")[0] for chunks in pieces}) == 1


def test_a_text_in_a_null_field_is_not_said_to_have_no_field(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": null, "body": "x"}\n')
    with pytest.raises(DataError, match="the field 'text' is null in the first 1 records"):
        read(tmp_path / "out", [tmp_path / "a.jsonl"])


def test_fields_of_a_tar_are_judged_as_lines_of_json_are(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as out:
        for name, data in (("a", b'{"text": "one"}'), ("b", b'{"x": ' + b"[" * 300 + b"]" * 300 + b"}"), ("c", b"[1]")):
            member = tarfile.TarInfo(f"{name}.json")
            member.size = len(data)
            out.addfile(member, io.BytesIO(data))
    ctx, _, results = read(tmp_path / "out", [tmp_path / "a.tar"])
    assert [row["text"] for row in documents(ctx, results)] == ["one"]
    assert [entry["reason"] for entry in rejected(ctx, results)] == ["too_deep", "bad_json"]


@pytest.mark.parametrize("make", [arrow_file, feather, arrow_stream])
def test_an_arrow_file_that_changes_or_is_cut_off_is_named(tmp_path, make):
    path = tmp_path / "a.arrow"
    make(path)
    node = Read(paths=(str(path),))
    ctx = LocalContext(node, tmp_path / "out", files={"paths": [path]})
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"drei", b"vier"))  # of one length, after it was digested
    with pytest.raises(SourceChanged):
        ctx.run_all()
    path.write_bytes(whole[:-40])
    with pytest.raises(SourceError, match="Arrow"):
        read(tmp_path / "cut", [path])


def test_members_of_a_tar_that_name_no_sample_part_none(tmp_path):
    """Names without a stem or an ending, such as macOS puts beside each file: webdataset passes them over."""
    members = [
        ("README", b"hello"),
        ("x/._a.json", b"0"),
        ("x/a.json", b'{"n": 1}'),
        ("x/._a.txt", b"1"),
        ("x/a.txt", b"text"),
    ]
    with tarfile.open(tmp_path / "a.tar", "w") as out:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            out.addfile(member, io.BytesIO(data))
    ctx, _, results = read(tmp_path / "out", [tmp_path / "a.tar"], keep=("n:int64",))
    assert [(row["text"], row["n"], row["source_id"]) for row in documents(ctx, results)] == [("text", 1, "x/a")]
    assert balance(results) == {"rows": 1, "kept": 1}
