"""Reading: every document comes back once, whatever the files look like; what is none is put aside with its
reason."""

import bz2
import gzip
import json
import lzma
import tracemalloc

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from local_context import LocalContext

from pipeline.errors import DataError, SourceChanged, SourceError
from stages.read import in_place, streams
from stages.read.layout import NOTHING, formats
from stages.read.read import Read


def read(folder, files, **fields):
    """(context, node, results of the shard tasks) of reading these files."""
    node = Read(paths=tuple(map(str, files)), **fields)
    node.check()
    ctx = LocalContext(node, folder, files={"paths": files})
    return ctx, node, ctx.run_all()


def documents(ctx, results) -> list[dict]:
    """All rows of all shards that were written, in order."""
    rows = []
    for key, result in results.items():
        for fact in result.facts["shards"]:
            table = pq.read_table(ctx.path("shards", key, fact["ext"]))
            assert fact["rows"] == table.num_rows
            assert fact["text_bytes"] == sum(len(t.encode()) for t in table["text"].to_pylist())
            rows += table.to_pylist()
    return rows


def balance(results) -> dict[str, int]:
    """Counts over all tasks; the law of the phase holds."""
    total: dict[str, int] = {}
    for result in results.values():
        for name, count in result.counts.items():
            total[name] = total.get(name, 0) + count
    assert total["rows"] == total["kept"] + sum(n for name, n in total.items() if name.startswith("rejected."))
    return total


def rejected(ctx, results) -> list[dict]:
    paths = [ctx.path("shards", key, ".rejected.jsonl") for key in results]
    return [json.loads(line) for path in paths if path.exists() for line in path.read_text().splitlines()]


def write(path, data: bytes, codec: str):
    if codec == "gz":
        data = gzip.compress(data, mtime=0)
    elif codec == "zst":
        data = pa.Codec("zstd").compress(data, asbytes=True)
    elif codec in ("bz2", "xz"):
        data = {"bz2": bz2, "xz": lzma}[codec].compress(data)
    path = path.with_name(path.name + (f".{codec}" if codec else ""))
    path.write_bytes(data)
    return path


usable_text = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1).filter(
    lambda text: not text.isspace()
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.lists(st.lists(usable_text, max_size=12), min_size=1, max_size=4),
    codec=st.sampled_from(["", "gz", "zst", "bz2", "xz"]),
    range_bytes=st.integers(1, 200),
    shard_bytes=st.integers(1, 100),
    ascii_only=st.booleans(),
    end=st.sampled_from(["\n", "\r\n"]),
    last=st.booleans(),
)
def test_any_documents_come_back_whatever_the_cuts(
    tmp_path_factory, files, codec, range_bytes, shard_bytes, ascii_only, end, last
):
    folder = tmp_path_factory.mktemp("read")
    paths = []
    for i, texts in enumerate(files):
        lines = [json.dumps({"text": t, "id": j}, ensure_ascii=ascii_only) for j, t in enumerate(texts)]
        data = (end.join(lines) + (end if last and lines else "")).encode()
        # every file is its own, so that ids do not meet
        paths.append(write(folder / f"{i}.jsonl", data + b"\n" * i, codec if data or not codec else ""))
    ctx, _, results = read(folder / "out", paths, range_bytes=range_bytes, shard_bytes=shard_bytes)
    found = documents(ctx, results)
    assert [row["text"] for row in found] == [t for texts in files for t in texts]
    assert [row["source_id"] for row in found] == [str(j) for texts in files for j in range(len(texts))]
    digests = [source.digest[:12] for source in ctx.sources()]
    assert [row["id"] for row in found] == [
        f"{d}:{j}" for d, texts in zip(digests, files, strict=True) for j in range(len(texts))
    ]
    assert balance(results)["kept"] == len(found)


def test_shards_and_row_groups_are_cut_by_bytes_of_text(tmp_path, monkeypatch):
    monkeypatch.setattr("stages.row_groups.GROUP_BYTES", 100)
    path = write(tmp_path / "a.jsonl", "\n".join(json.dumps({"text": "x" * 40}) for _ in range(20)).encode(), "")
    ctx, _, results = read(tmp_path / "out", [path], shard_bytes=300)
    ((key, result),) = results.items()
    facts = result.facts["shards"]
    assert key == f"{ctx.sources()[0].digest[:16]}-jsonl-0000"
    assert [(fact["key"], fact["rows"], fact["text_bytes"]) for fact in facts] == [
        (f"{key}-000", 8, 320),
        (f"{key}-001", 8, 320),
        (f"{key}-002", 4, 160),
    ]
    with pq.ParquetFile(ctx.path("shards", key, facts[0]["ext"])) as file:
        assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [3, 3, 2]


def test_bad_lines_are_put_aside_with_file_line_and_reason(tmp_path):
    lines = [
        b'{"text": "good"}',
        b'{"text": "cut off',
        b"[1, 2]",
        b'{"text": "\xff\xfe"}',
        b'{"text": ""}',
        b'{"text": " \\n\\t "}',
        b'{"other": 1}',
        b'{"text": null}',
        b'{"text": 5}',
        b'{"text": "half \\ud800 pair"}',
        b'{"text": "nul \\u0000 inside"}',
        b"",
        b'{"text": "whole \\ud83d\\ude00 pair", "source": "web", "id": "x"}',
    ]
    path = write(tmp_path / "a.jsonl", b"\n".join(lines), "")
    ctx, _, results = read(tmp_path / "out", [path])
    assert [row["text"] for row in documents(ctx, results)] == ["good", "whole \U0001f600 pair"]
    assert documents(ctx, results)[1]["source"] == "web"
    assert [(entry["line"], entry["reason"]) for entry in rejected(ctx, results)] == [
        (2, "bad_json"), (3, "bad_json"), (4, "invalid_utf8"), (5, "empty"), (6, "empty"), (7, "no_text"),
        (8, "no_text"), (9, "wrong_type"), (10, "lone_surrogate"), (11, "nul"),
    ]  # fmt: skip
    (source,) = ctx.sources()
    assert all(entry["id"].partition(":")[0] == source.digest[:12] for entry in rejected(ctx, results))
    assert not any("a.jsonl" in str(entry) for entry in rejected(ctx, results))  # the file may be called otherwise
    assert balance(results)["rows"] == 12  # the blank line is no row
    assert documents(ctx, results)[1]["id"].endswith(":12")  # but it has a number


def test_fail_stops_at_the_first_bad_line_with_its_place(tmp_path):
    path = write(tmp_path / "a.jsonl", b'{"text": "good"}\n{"text": oops}\n', "gz")
    with pytest.raises(DataError, match=r"a\.jsonl\.gz:2: bad json"):
        read(tmp_path / "out", [path], on_error="fail")
    assert not list((tmp_path / "out").rglob("*.parquet"))


@pytest.mark.parametrize("codec", ["gz", "zst", "bz2", "xz"])
def test_a_cut_off_file_is_an_error_with_its_byte_and_leaves_no_shard(tmp_path, codec):
    lines = "\n".join(json.dumps({"text": f"document {i} {hash(str(i))}"}) for i in range(2000)).encode()
    path = write(tmp_path / "a.jsonl", lines, codec)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(SourceError, match=rf"a\.jsonl\.{codec}: damaged .* byte {path.stat().st_size} of"):
        read(tmp_path / "out", [path])
    assert not list((tmp_path / "out").rglob("*.parquet"))


def test_what_is_no_gzip_and_an_empty_gzip_are_errors(tmp_path):
    for data in (b"plain text\n", b""):
        path = tmp_path / "a.jsonl.gz"
        path.write_bytes(data)
        with pytest.raises(SourceError, match="damaged gzip"):
            read(tmp_path / "out", [path])


@pytest.mark.parametrize(("codec", "library"), [("gz", gzip), ("bz2", bz2), ("xz", lzma)])
def test_packed_streams_and_zero_padding_are_read_through(tmp_path, monkeypatch, codec, library):
    monkeypatch.setattr(streams, "CHUNK", 7)  # ends of streams fall into every place of a chunk
    path = tmp_path / f"a.jsonl.{codec}"
    texts = ["one", "two " * 300, "three"]
    members = [library.compress(json.dumps({"text": t}).encode() + b"\n") for t in texts]
    path.write_bytes((b"\0" * 8).join(members) + b"\0" * 700)
    ctx, _, results = read(tmp_path / "out", [path])
    assert [row["text"] for row in documents(ctx, results)] == texts


def test_a_text_that_begins_like_bzip2_is_a_text(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("BZh9 is how bzip2 begins")
    ctx, _, results = read(tmp_path / "out", [path])
    assert [row["text"] for row in documents(ctx, results)] == ["BZh9 is how bzip2 begins"]


def test_markdown_is_text_and_a_card_beside_data_is_none(tmp_path):
    (tmp_path / "data").mkdir()
    card, notes, data = tmp_path / "README.md", tmp_path / "notes.md", tmp_path / "data" / "a.jsonl"
    card.write_text("# A data set\n")
    notes.write_text("# Notes\n\n* one\n")
    data.write_text('{"text": "a document"}\n')
    assert formats(["README.md", "notes.md", "data/a.jsonl"], "auto", "x") == [NOTHING, "txt", "jsonl"]
    assert formats(["README.md", "notes.md"], "auto", "x") == ["txt", "txt"]
    ctx, _, results = read(tmp_path / "out", [card, notes])
    assert [row["text"] for row in documents(ctx, results)] == ["# A data set\n", "# Notes\n\n* one\n"]


@pytest.mark.parametrize(("name", "range_bytes"), [("a.jsonl", 10**6), ("a.jsonl", 100), ("a.jsonl.gz", 10**6)])
def test_a_file_that_changes_under_the_reader_is_named(tmp_path, name, range_bytes):
    lines = "\n".join(json.dumps({"text": f"document {i}"}) for i in range(100)).encode()
    path = write(tmp_path / "a.jsonl", lines, "gz" if name.endswith("gz") else "")
    node = Read(paths=(str(path),), range_bytes=range_bytes)
    ctx = LocalContext(node, tmp_path / "out", files={"paths": [path]})
    first, survey, shards = node.phases()
    ctx.run(first)
    ctx.run(survey)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"document 7", b"DOCUMENT 7") if name == "a.jsonl" else data[:-4] + b"zzzz")
    with pytest.raises(SourceChanged, match=r"a\.jsonl"):
        ctx.run(shards)


def test_a_missing_text_field_names_what_there_is(tmp_path):
    path = write(tmp_path / "a.jsonl", b'{"txt": "a", "url": "b"}\n' * 3, "")
    with pytest.raises(DataError, match=r"no field 'text' in the first 3 records.*txt, url.*set `text: txt`"):
        read(tmp_path / "out", [path])
    ctx, _, results = read(tmp_path / "out2", [path], text="txt", keep=("url",))
    assert [(row["text"], row["url"]) for row in documents(ctx, results)] == [("a", "b")] * 3


def test_a_text_field_of_another_type_is_named(tmp_path):
    path = write(tmp_path / "a.jsonl", b'{"text": 1}\n{"text": 2}\n', "")
    with pytest.raises(DataError, match="holds int"):
        read(tmp_path / "out", [path])


def test_kept_fields_have_their_types(tmp_path):
    rows = [
        {"text": "a", "n": 3, "f": 1, "b": True, "s": {"k": [1]}},
        {"text": "b"},
        {"text": "c", "n": "three"},
        {"text": "d", "n": True},
        {"text": "e", "n": 2**63},
        {"text": "f", "n": 1.0},
    ]
    path = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)).encode(), "")
    ctx, node, results = read(tmp_path / "out", [path], keep=("n:int64", "f:float64", "b:bool", "s"))
    kept = [{name: row[name] for name in ("n", "f", "b", "s")} for row in documents(ctx, results)]
    assert kept == [{"n": 3, "f": 1.0, "b": True, "s": '{"k": [1]}'}, dict.fromkeys("nfbs")]
    assert balance(results)["rejected.wrong_type"] == 4
    assert node.adds() == {
        "source": "string",
        "source_id": "string",
        "n": "int64",
        "f": "float64",
        "b": "bool",
        "s": "string",
    }


def test_one_long_line_passes_and_a_longer_one_is_counted(tmp_path, monkeypatch):
    long = json.dumps({"text": "x" * 10_000_000}).encode()
    path = write(tmp_path / "a.jsonl", b'{"text": "first"}\n' + long + b'\n{"text": "last"}', "")
    ctx, _, results = read(tmp_path / "out", [path], range_bytes=1000)
    assert [len(row["text"]) for row in documents(ctx, results)] == [5, 10_000_000, 4]
    monkeypatch.setattr("stages.read.framing.LONGEST", 5_000_000)
    ctx, _, results = read(tmp_path / "out2", [path], range_bytes=1000)
    assert [len(row["text"]) for row in documents(ctx, results)] == [5, 4]
    assert balance(results)["rejected.too_long"] == 1


@pytest.mark.parametrize(
    ("split", "texts", "rows"),
    [
        ("file", ["one\r\ntwo\n\nthree\n", "four"], [0, 0]),
        ("line", ["one", "two", "three", "four"], [0, 1, 3, 0]),
        ("paragraph", ["one\ntwo", "three", "four"], [0, 1, 0]),
    ],
)
@pytest.mark.parametrize("codec", ["", "gz"])
def test_text_files_give_a_document_a_file_a_line_or_a_paragraph(tmp_path, split, texts, rows, codec):
    files = [
        write(tmp_path / "a.txt", b"\xef\xbb\xbfone\r\ntwo\n\nthree\n", codec),
        write(tmp_path / "b.txt", b"four", codec),
        write(tmp_path / "c.txt", b"  \n", codec),
    ]
    ctx, _, results = read(tmp_path / "out", files, txt_split=split)
    found = documents(ctx, results)
    assert [row["text"] for row in found] == texts
    assert [int(row["id"].split(":")[1]) for row in found] == rows
    assert balance(results).get("rejected.empty", 0) == (split == "file")


def test_a_name_that_says_nothing_is_an_error(tmp_path):
    path = write(tmp_path / "a.odt", b"x", "")
    with pytest.raises(SourceError, match=r"a\.odt"):
        read(tmp_path / "out", [path])
    ctx, _, results = read(tmp_path / "out", [path], format="txt")
    assert [row["text"] for row in documents(ctx, results)] == ["x"]


def test_a_text_of_any_white_space_is_empty_and_a_nul_is_found_wherever_it_stands():
    signs = [chr(code) for code in range(1, 0x110000) if not 0xD800 <= code < 0xE000]
    blank = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(pa.array(signs))), 0)
    states = in_place._states(
        pa.array([*signs, "\0", "\0x", "ü" * 99_999 + "\0", "x\\x00"], pa.large_string())
    ).to_pylist()
    assert states[:-4] == pc.if_else(blank, 1 + in_place.REASONS.index("read.empty"), 0).to_pylist()
    assert states[-4:] == [*[1 + in_place.REASONS.index("read.nul")] * 3, 0]


@pytest.mark.parametrize("kind", ["string", "large_string", "string_view", "dictionary"])
def test_parquet_stays_in_place_and_marks_unusable_rows(tmp_path, kind):
    texts = ["a b", None, "", "ü", " \n", "nul\0", "last"]
    column = pa.array(texts)
    types = {
        "large_string": pa.large_string(),
        "string_view": pa.string_view(),
        "dictionary": pa.dictionary(pa.int32(), pa.string()),
    }
    column = column.cast(types[kind]) if kind in types else column
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"content": column, "id": list(range(7)), "url": texts}), path, row_group_size=2)
    ctx, node, results = read(tmp_path / "out", [path], text="content", keep=("url",), shard_bytes=1)
    facts = [fact for result in results.values() for fact in result.facts["shards"]]
    assert [fact["in_place"]["row_groups"] for fact in facts] == [[0, 1], [1, 2], [2, 3], [3, 4]]
    assert [fact["in_place"]["first_row"] for fact in facts] == [0, 2, 4, 6]
    assert facts[0]["in_place"]["columns"] == {"text": "content", "source_id": "id", "url": "url"}
    states = []
    for key, fact in zip(results, facts, strict=True):
        sidecar = fact.get("state_ext")
        states += (
            pq.read_table(ctx.path("shards", key, sidecar))["state"].to_pylist() if sidecar else [0] * fact["rows"]
        )
    assert [node.reasons[s - 1].split(".")[1] if s else "" for s in states] == [
        "",
        "no_text",
        "empty",
        "",
        "empty",
        "nul",
        "",
    ]
    assert sum(fact["text_bytes"] for fact in facts) == len("a bülast".encode())
    assert balance(results) == {
        "rows": 7,
        "kept": 3,
        "rejected.empty": 2,
        "rejected.no_text": 1,
        "rejected.nul": 1,
    }


def test_parquet_text_that_is_not_utf8_is_counted(tmp_path):
    column = pa.Array.from_buffers(pa.string(), 2, pa.array([b"fine", b"\xff\xfe"]).buffers())
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    _, _, results = read(tmp_path / "out", [tmp_path / "a.parquet"])
    assert balance(results) == {"rows": 2, "kept": 1, "rejected.invalid_utf8": 1}


def test_parquet_columns_are_checked_by_name_and_type(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"content": ["a"], "n": [1]}), path)
    with pytest.raises(DataError, match=r"no column 'text'.*set `text: content`"):
        read(tmp_path / "out", [path])
    with pytest.raises(DataError, match="'n' holds int64"):
        read(tmp_path / "out", [path], text="n")
    with pytest.raises(DataError, match=r"'n' holds int64.*n:int64"):
        read(tmp_path / "out", [path], text="content", keep=("n",))


def test_parquet_that_is_cut_off_or_replaced_is_named(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["some text"] * 100}), path)
    node = Read(paths=(str(path),))
    ctx = LocalContext(node, tmp_path / "out", files={"paths": [path]})
    first, survey, shards = node.phases()
    ctx.run(first)
    ctx.run(survey)
    pq.write_table(pa.table({"text": ["SOME TEXT"] * 100}), path)
    with pytest.raises(SourceChanged):
        ctx.run(shards)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SourceError, match="Parquet"):
        read(tmp_path / "out2", [path])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"text": ' + "[" * 100_000, "too_deep"),
        ('{"text": "a", "n": ' + "1" * 5000 + "}", "bad_json"),
        ('{"text": "a", "kept": ' + "[" * 990 + "]" * 990 + "}", "too_deep"),
        ('{"text": "a", "kept": 1e999}', "wrong_type"),
    ],
)
def test_json_that_no_column_can_hold_is_a_bad_row_and_not_a_crash(tmp_path, line, reason):
    path = write(tmp_path / "a.jsonl", f'{{"text": "first", "n": "{"[" * 300}"}}\n{line}\n'.encode(), "")
    ctx, _, results = read(tmp_path / "out", [path], keep=("kept",))
    assert [entry["reason"] for entry in rejected(ctx, results)] == [reason]
    assert [row["text"] for row in documents(ctx, results)] == ["first"]


def test_equal_files_that_share_a_task_give_ids_of_their_own(tmp_path):
    files = [tmp_path / name for name in ("a.txt", "b.txt", "c.jsonl", "d.txt")]
    for path in files:
        path.write_text('{"text": "the same bytes"}')
    ctx, _, results = read(tmp_path / "out", files)
    ids = [row["id"].partition(":")[0] for row in documents(ctx, results)]
    assert sorted(ids) == sorted(f"{ids[0][:12]}{copy}" for copy in ("", ".1", ".2", ".3"))


def test_a_paragraph_without_end_is_counted_and_not_held(monkeypatch):
    from stages.read import framing

    monkeypatch.setattr(framing, "LONGEST", 1 << 16)
    tracemalloc.start()
    most = []

    def chunks():
        for i in range(4000):  # 4 MB without a blank line
            yield b"%06d " % i + bytes(1000).replace(b"\0", b"x") + b"\n"
            most.append(tracemalloc.get_traced_memory()[0])
        yield b"\nnext\n"

    found = [data for _, data in framing.cut(chunks(), "paragraph")]
    tracemalloc.stop()
    assert found == [None, b"next"]
    assert max(most) - most[0] < 1 << 20
