"""What `write` puts where the user says: whole or not at all, the same again, and open to other people's readers."""

import gzip
import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from markdown_it import MarkdownIt
from run_here import Here

from pipeline.contract import Shard
from pipeline.driver.execute import Options, run
from pipeline.errors import DataError, RecipeError
from pipeline.graph import build
from pipeline.safe_text import ACTING
from stages import publish
from stages.clean.language import Language
from stages.read.read import Read
from stages.split import Split
from stages.write import Write
from tests.pipeline import s3
from tests.stages.local_context import LocalContext

DOCS = Language(docs=Read(paths=("/home/someone/private/a.jsonl",), keep=()), keep=("en", "de"))
NAMES = ("id", "text", "source", "source_id", "lang", "lang_p")


def rows(first: int, count: int) -> pa.Table:
    numbers = range(first, first + count)
    return pa.table(
        {
            "id": pa.array([f"{'0' * 12}:{i}" for i in numbers], pa.string()),
            "text": pa.array([f"text {i} ä" for i in numbers], pa.string()),
            "source": pa.array(["web" if i % 2 else None for i in numbers], pa.string()),
            "source_id": pa.array([str(i) for i in numbers], pa.string()),
            "lang": pa.array(["en"] * count, pa.string()),
            "lang_p": pa.array([0.5] * count, pa.float32()),
        }
    )


PASSED = {"alive_in": 5000, "alive_out": 8, "removed.language.other": 4990, "removed.language.unsure": 2}
SHARDS = {"a": rows(0, 5), "b": rows(5, 0), "c": rows(5, 3)}


def write(folder, to, shards=SHARDS, **fields):
    """Run both phases of a node in a folder of its own; the context that it ran in."""
    node = Write(docs=DOCS, to=str(to), **fields)
    node.check()
    ctx = LocalContext(node, folder)
    ctx.passed = {DOCS.docs: {"rows": 5003, "kept": 5000, "rejected.bad_json": 3, "damaged_files": 2}, DOCS: PASSED}
    files, target = node.phases()
    for key, table in shards.items():
        ctx.shard, ctx.phase, ctx.key = Shard("0" * 12, key, table.num_rows, 0), "files", key
        writer = files.open(ctx)
        writer.add(table.select(files.needs))
        ctx.results["files", key] = writer.finish()
    ctx.run(target)
    return ctx


@pytest.mark.parametrize("form", ["parquet", "jsonl.gz"])
def test_held_out_documents_are_left_out_unless_they_are_asked_for(tmp_path, form):
    for i, count in enumerate((4, 1, 2)):
        lines = [json.dumps({"text": f"text {i} {j}"}) + "\n" for j in range(count)]
        (tmp_path / f"{i}.jsonl").write_text("".join(lines))
    docs = Read(paths=(f"{tmp_path}/*.jsonl",))
    split = Split(docs=docs, held_out=0.5)
    found = {}
    for asked in (False, True):
        node = Write(docs=split, format=form, to=str(tmp_path / f"out-{asked}"), held_out=asked)
        made = Here(node, tmp_path / "store")
        keys = sorted(made.state.done(node, "files"))
        counts = [receipt.counts for receipt in made.state.receipts(node, "files", keys)]
        assert sum(c["rows"] for c in counts) == 7 == sum(c["written"] + c["held_out"] for c in counts)
        files = sorted((tmp_path / f"out-{asked}" / "data").iterdir())
        read = pq.read_table if form == "parquet" else _json_table
        found[asked] = pa.concat_tables([read(file).select(["text", "held_out"]) for file in files]).to_pylist()
    assert {row["held_out"] for row in found[True]} == {True, False}
    assert found[False] == [row for row in found[True] if not row["held_out"]]
    assert len(found[True]) == 7


def _json_table(path):
    return pa.Table.from_pylist([json.loads(line) for line in gzip.open(path, "rt")])


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("form", ["parquet", "jsonl.gz"])
def test_datasets_and_pandas_open_the_folder_with_every_column(tmp_path, form, monkeypatch):
    import datasets
    import pandas

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    out = tmp_path / "mine" / "clean"
    write(tmp_path / "store", out, format=form)
    found = datasets.load_dataset(str(out), split="train", cache_dir=str(tmp_path / "cache"))
    assert found.to_list() == pa.concat_tables(SHARDS.values()).to_pylist()
    files = sorted((out / "data").iterdir())
    assert [file.name for file in files] == [f"train-0000{i}-of-00002.{form}" for i in range(2)]
    read = pandas.read_parquet if form == "parquet" else (lambda file: pandas.read_json(file, lines=True))
    assert list(read(files[0]).columns) == list(NAMES)
    assert len(read(files[1])) == 3


def test_the_manifest_names_every_other_file_and_no_path_of_this_machine_leaves(tmp_path):
    import hashlib

    out = tmp_path / "clean"
    ctx = write(tmp_path / "store", out, columns=("text", "lang"))
    found = content(out)
    manifest = json.loads(found.pop("manifest.json"))
    assert {name: entry["sha256"] for name, entry in manifest["files"].items()} == {
        name: hashlib.sha256(data).hexdigest() for name, data in found.items()
    }
    assert manifest["rows"] == 8
    assert manifest["columns"] == {"text": "string", "lang": "string"}
    assert ctx.path("target", "all", ".json").read_bytes() == (out / "manifest.json").read_bytes()
    for name in ("README.md", "croissant.json", "prov.json"):
        assert b"/home/someone" not in found[name]
        assert str(tmp_path).encode() not in found[name]
    assert b"a.jsonl" in found["README.md"]
    assert b"keep=('en', 'de')" in found["README.md"]


def test_the_same_result_again_touches_nothing_and_another_one_replaces_it(tmp_path):
    out = tmp_path / "clean"
    write(tmp_path / "one", out)
    before = {path: os.stat(path).st_mtime_ns for path in out.rglob("*")}
    write(tmp_path / "again", out)
    assert {path: os.stat(path).st_mtime_ns for path in out.rglob("*")} == before
    write(tmp_path / "other", out, {"a": rows(0, 2)})
    assert pq.read_table(out / "data" / "train-00000-of-00001.parquet").num_rows == 2
    assert [path.name for path in (out / "data").iterdir()] == ["train-00000-of-00001.parquet"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "clean", "one", "other"]


@pytest.mark.parametrize("name", ["notes.txt", "data/train-00000-of-00002.parquet", "manifest.json"])
def test_files_of_somebody_else_are_an_error_and_stay_as_they_are(tmp_path, name):
    out = tmp_path / "clean"
    if name.startswith("data"):
        write(tmp_path / "first", out)
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    (out / name).write_text("mine")
    before = content(out)
    with pytest.raises(DataError, match=rf"{name}; expected an empty place.*Next: name another place"):
        write(tmp_path / "store", out, {"a": rows(0, 2)})
    assert content(out) == before


def test_a_crash_at_any_moment_leaves_the_old_dataset_or_the_new_one(tmp_path, monkeypatch):
    """The renames fail in turn; what is there is whole each time, and running again ends it."""
    out = tmp_path / "clean"
    write(tmp_path / "old", out)
    old = content(out)
    rename = publish.Path.rename
    for failing in (0, 1):
        calls = iter(range(10))

        def broken(self, other, calls=calls, failing=failing):
            if next(calls) == failing:
                raise KeyboardInterrupt
            return rename(self, other)

        monkeypatch.setattr(publish.Path, "rename", broken)
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path / f"new{failing}", out, {"a": rows(0, 2)})
        monkeypatch.undo()
        whole = [content(path) for path in (out, tmp_path / ".clean.siftloom-old") if path.exists()]
        assert old in whole
    write(tmp_path / "end", out, {"a": rows(0, 2)})
    assert pq.read_table(out / "data").num_rows == 2
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_an_object_store_gets_the_same_files_and_refuses_foreign_ones(tmp_path, monkeypatch):
    from pyarrow import fs

    for name, value in s3.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with s3.server() as endpoint:
        uri = s3.bucket(endpoint, "out")
        ctx = write(tmp_path / "one", uri)
        write(tmp_path / "two", uri)
        write(tmp_path / "three", tmp_path / "runs")
        store, base = fs.FileSystem.from_uri(uri)
        found = {
            info.path.removeprefix(f"{base}/"): store.open_input_file(info.path).read()
            for info in store.get_file_info(fs.FileSelector(base, recursive=True))
            if info.is_file
        }
        assert found == content(tmp_path / "runs")
        assert "endpoint" not in str(list(ctx.node.figures(ctx)))
        with pytest.raises(DataError, match=r"data/train-00000-of-00002\.parquet and 3 more"):
            write(tmp_path / "four", uri, {"a": rows(0, 2)})


def test_croissant_and_prov_pass_their_own_readers(tmp_path, monkeypatch):
    import mlcroissant
    from prov.model import ProvActivity, ProvDocument

    monkeypatch.chdir(tmp_path)
    for form in ("parquet", "jsonl.gz"):
        out = tmp_path / form
        write(tmp_path / f"store-{form}", out, format=form)
        found = mlcroissant.Dataset(jsonld=str(out / "croissant.json"))
        assert not found.metadata.issues.errors
        records = list(found.records("row"))
        assert [record["row/text"].decode() for record in records] == [f"text {i} ä" for i in range(8)]
    document = ProvDocument.deserialize(str(out / "prov.json"), format="json")
    labels = {str(record.label) for record in document.get_records(ProvActivity)}
    assert labels == {"read", "language", "write"}


def test_nothing_of_the_data_or_the_configuration_acts_in_a_card(tmp_path):
    """Once a raw ESC stood in it, and a backtick in a source freed the HTML behind it."""
    import yaml

    hostile = "\x1b]0;owned\x07`<script>alert(1)</script>|x\n---\n\u202e"
    table = rows(0, 3).set_column(2, "source", pa.array([hostile] * 3))
    table = table.set_column(4, "lang", pa.array(['a"\n', "x\x1b", "en"]))
    write(tmp_path / "store", tmp_path / 'a`<b>"out', {"a": table})
    for name in ("README.md", "croissant.json", "prov.json"):
        assert not ACTING.search((tmp_path / 'a`<b>"out' / name).read_text()), name
    page = (tmp_path / 'a`<b>"out' / "README.md").read_text()
    tokens = MarkdownIt("commonmark").enable("table").parse(page.split("---\n", 2)[2])
    inside = [child.type for token in tokens for child in token.children or ()]
    assert not {"html_block", "html_inline", "link_open", "image"} & {*inside, *(token.type for token in tokens)}
    assert any("<script>alert(1)</script>" in child.content for token in tokens for child in token.children or ()
               if child.type == "code_inline")  # fmt: skip
    assert yaml.safe_load(page.split("---\n")[1])["language"] == ["en"]


def test_the_cards_say_how_many_documents_each_node_removed_and_why(tmp_path):
    write(tmp_path / "store", tmp_path / "out")
    lines = (tmp_path / "out" / "README.md").read_text().splitlines()
    assert any(
        line.startswith("- 1. `read`")
        and line.endswith("5,003 documents, 3 removed (`bad_json` 3); 2 damaged files left out")
        for line in lines
    )
    gone = "5,000 documents, 4,992 removed (`language.other` 4,990, `language.unsure` 2)"
    assert any(line.startswith("- 2. `language` of 1") and line.endswith(gone) for line in lines)
    activities = json.loads((tmp_path / "out" / "prov.json").read_text())["activity"]
    assert activities["sl:run-2"]["sl:documents"] == "5000"
    assert activities["sl:run-2"]["sl:removed.language.other"] == "4990"


def test_nothing_alive_and_impossible_targets_are_named(tmp_path):
    with pytest.raises(DataError, match="no document is left to write"):
        write(tmp_path / "store", tmp_path / "out", {"a": rows(0, 0)})
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="a file; expected a folder"):
        write(tmp_path / "store", tmp_path / "file")
    for fields, message in (
        ({"to": "ftp://host/x"}, "ftp://"),
        ({"columns": ("txt",)}, "no column"),
        ({"to": " "}, "empty"),
    ):
        with pytest.raises(RecipeError, match=message):
            Write(docs=DOCS, **fields).check()


def test_gzipped_lines_hold_no_time(tmp_path):
    write(tmp_path / "store", tmp_path / "out", format="jsonl.gz")
    data = (tmp_path / "out" / "data" / "train-00000-of-00002.jsonl.gz").read_bytes()
    assert data[4:8] == b"\0\0\0\0"
    assert len(gzip.decompress(data).splitlines()) == 5


def test_lines_of_json_hold_no_number_that_json_lacks(tmp_path):
    odd = rows(0, 4).set_column(5, "lang_p", pa.array([0.5, float("nan"), float("inf"), None], pa.float32()))
    ctx = write(tmp_path / "run", tmp_path / "out", {"a": odd}, format="jsonl.gz")

    def refuse(name):
        raise AssertionError(name)

    found = gzip.decompress(ctx.path("files", "a", ".jsonl.gz").read_bytes()).splitlines()
    assert [json.loads(line, parse_constant=refuse)["lang_p"] for line in found] == [0.5, None, None, None]


def test_a_target_that_another_node_has_delivered_to_is_delivered_to_again(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "one", "id": "1"}\n{"text": "two", "id": "2"}\n')
    seen = []
    for columns in (("id", "text"), ("text",), ("id", "text")):
        docs = Read(paths=(str(tmp_path / "a.jsonl"),))
        node = Write(docs=docs, to=str(tmp_path / "out"), columns=columns)
        run(build([node]), name="twice", store=str(tmp_path / "store"), options=Options(here=True))
        seen.append(content(tmp_path / "out"))
    assert seen[2] == seen[0] != seen[1]
