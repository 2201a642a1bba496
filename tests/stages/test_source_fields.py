"""What a user's files say of a document beside its text comes back where it is written, with the same values."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import GraphError, RecipeError
from pipeline.graph import build
from siftloom import Pipeline
from siftloom import stages as s
from stages.read.read import Read

RECORDS = [
    {"text": "a first text of the river", "url": "http://a/1", "title": "Übung", "meta": {"tags": ["x", None], "n": 2}},
    {"text": "a second text of the mill", "id": 7, "score": 0.25, "big": 2**70, "lang": "xx", "url": None},
    {"url": "http://a/3", "text": "a third text of the town", "half": "\ud800", "score": 3, "source": "web"},
    {"text": "a fourth text, with no other field"},
]


def records_of(folder: Path) -> list[dict]:
    found = []
    for path in sorted((folder / "data").iterdir()):
        if path.suffix == ".gz":
            found += [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
        else:
            found += pq.read_table(path).to_pylist()
    return found


def go(tmp_path, *paths, name="r", form="jsonl.gz", columns=(), **fields):
    """Read, name the language (so that a column has the name of a field), and write; the written rows by their text."""
    docs = s.Read(paths=tuple(map(str, paths)), **fields)
    lang = s.Language(docs=docs, keep=("en",), min_probability=0.0)
    out = s.Write(docs=lang, to=str(tmp_path / name), format=form, columns=columns)
    run = Pipeline([out], name=name, store=str(tmp_path / "store"), names={"docs": docs, "out": out})
    return run.run(here=True, progress=False), {row.pop("text"): row for row in records_of(tmp_path / name)}


def lines(path: Path, records) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_json_lines_come_back_as_they_were_and_rows_are_still_explained(tmp_path):
    path = lines(tmp_path / "a.jsonl", RECORDS)
    run, found = go(tmp_path, path)
    for record in RECORDS:
        row = found[record["text"]]
        fields = {name: value for name, value in record.items() if name not in ("text", "id", "source", "lang")}
        assert {name: row[name] for name in fields} == fields
        assert [name for name in row if name in fields] == list(fields)
    second = found[RECORDS[1]["text"]]
    assert second["source_fields"] == {"lang": "xx"}
    assert (second["lang"], second["source_id"]) == ("en", "7")
    assert found[RECORDS[2]["text"]]["source"] == "web"
    assert "source_fields" not in found[RECORDS[3]["text"]]
    rows = run["docs"].rows(["id", "source_fields"]).to_pylist()
    assert json.loads(rows[0]["source_fields"]) == {n: RECORDS[0][n] for n in ("url", "title", "meta")}
    assert list(json.loads(rows[0]["source_fields"])) == ["url", "title", "meta"]
    assert rows[3]["source_fields"] is None
    trace = run.why(rows[0]["id"])
    assert "Übung" in str(trace)
    manifest = json.loads((tmp_path / "r" / "manifest.json").read_text())
    assert manifest["columns"]["meta"] == "json"
    assert manifest["columns"]["score"] == "float64"

    _, typed = go(tmp_path, path, name="typed", form="parquet")
    table = pq.read_table(tmp_path / "typed" / "data")
    kinds = {"url": "string", "title": "string", "score": "double", "meta": "string", "big": "string", "half": "string"}
    assert {name: str(table.schema.field(name).type) for name in kinds} == kinds
    assert typed[RECORDS[2]["text"]]["score"] == 3.0
    assert json.loads(typed[RECORDS[0]["text"]]["meta"]) == RECORDS[0]["meta"]
    assert json.loads(typed[RECORDS[1]["text"]]["source_fields"]) == {"lang": "xx"}
    assert json.loads((tmp_path / "typed" / "manifest.json").read_text())["columns"].keys() == set(table.column_names)

    _, none = go(tmp_path, path, name="none", keep=())
    assert set().union(*none.values()) == {"id", "source", "source_id", "lang", "lang_p"}
    _, named = go(tmp_path, path, name="named", keep=("url", "*"), columns=("text", "url", "source_fields"))
    assert named[RECORDS[0]["text"]] == {n: RECORDS[0][n] for n in ("url", "title", "meta")}


def table_of(count: int) -> pa.Table:
    return pa.table(
        {
            "url": [f"http://p/{i}" for i in range(count)],
            "text": [f"a text of the parquet file, number {i}" for i in range(count)],
            "n": pa.array(range(count), pa.int32()),
            "day": pa.array([None if i == 1 else i for i in range(count)], pa.date32()),
            "meta": [{"tags": [f"t{i}"], "deep": {"x": i / 2}} for i in range(count)],
            "raw": pa.array([b"\xff\x00" if i % 2 else b"plain" for i in range(count)], pa.binary()),
        }
    )


def test_parquet_in_place_and_copied_and_the_other_formats_give_their_fields(tmp_path):
    pq.write_table(table_of(5), tmp_path / "p.parquet", row_group_size=2)
    run, found = go(tmp_path, tmp_path / "p.parquet", form="parquet")
    assert not list(Path(tmp_path / "store", run["docs"].folder, "data", "shards").glob("*.parquet")), "stays in place"
    table = pq.read_table(tmp_path / "r" / "data")
    assert table["n"].type == pa.int64()
    row = found["a text of the parquet file, number 3"]
    assert (row["url"], row["n"], row["day"]) == ("http://p/3", 3, "1970-01-04")
    assert json.loads(row["meta"]) == {"tags": ["t3"], "deep": {"x": 1.5}}
    assert (row["raw"], found["a text of the parquet file, number 2"]["raw"]) == ("/wA=", "plain")

    wrapped = pa.table({"doc": table_of(5).select(["text", "n"]).to_struct_array().combine_chunks(), "url": ["u"] * 5})
    pq.write_table(wrapped, tmp_path / "q.parquet")
    (tmp_path / "c.csv").write_text('url,text,n\nhttp://c/1,"a text, of the table",01\n')
    (tmp_path / "h.html").write_text("<html>a page of the web</html>")
    (tmp_path / "t.txt").write_text("a plain text of a file")
    with pa.ipc.new_file(tmp_path / "a.arrow", wrapped.schema) as out:
        out.write_table(wrapped)
    _, copied = go(tmp_path, tmp_path / "q.parquet", tmp_path / "a.arrow", name="q", text="doc.text")
    assert [row["doc"] for row in copied.values()] == [{"n": i} for i in range(5)]
    assert {row["url"] for row in copied.values()} == {"u"}
    _, others = go(tmp_path, *(tmp_path / name for name in ("c.csv", "h.html", "t.txt")), name="o")
    assert (others["a text, of the table"]["url"], others["a text, of the table"]["n"]) == ("http://c/1", "01")
    assert others["<html>a page of the web</html>"]["charset"] == "utf-8"
    assert "source_fields" not in others["a plain text of a file"]


def test_a_limit_that_copies_rows_of_parquet_gives_the_fields_of_those_in_place(tmp_path):
    pq.write_table(table_of(6), tmp_path / "p.parquet", row_group_size=3)
    fields = []
    for limit in (4, None):
        docs = s.Read(paths=(str(tmp_path / "p.parquet"),), limit=limit)
        run = Pipeline([docs], name="r", store=str(tmp_path / f"{limit}"), names={"docs": docs}).run(
            here=True, progress=False
        )
        fields.append(run["docs"].rows(["source_fields"])["source_fields"].to_pylist())
    assert fields[0] == fields[1][:4]


def test_a_growing_corpus_writes_only_what_is_new_while_its_fields_have_their_types(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()

    def inodes(name):
        run, _ = go(tmp_path, folder, name=name, form="parquet")
        data = Path(tmp_path / "store", run["out"].folder, "data", "files")
        return {path.name.split("-")[1]: path.stat().st_ino for path in data.glob("*.parquet")}

    lines(folder / "a.jsonl", RECORDS[:1])
    before = inodes("one")
    lines(folder / "b.jsonl", [{**RECORDS[0], "text": "another text of the mill"}])
    after = inodes("one")
    assert len(after) == 2
    assert before.items() <= after.items()


def test_what_only_travels_is_no_column_for_rules_and_the_plan_says_what_to_write():
    docs = Read(paths=("a.jsonl",))
    with pytest.raises(GraphError, match=r"no column 'url' .*`keep: \[url, \"\*\"\]` in `read`"):
        build([s.UrlDedup(docs=docs)])
    with pytest.raises(RecipeError, match=r"write.columns: url: .*`keep: \[url, \"\*\"\]`"):
        build([s.Write(docs=docs, columns=("url",))])
    build([s.UrlDedup(docs=Read(paths=("a.jsonl",), keep=("url", "*")))])
    with pytest.raises(RecipeError, match="a name that the base has already"):
        Read(paths=("a.jsonl",), keep=("source_fields",)).check()
