"""The first things a newcomer types: `init`, `run --limit`, and the Python surface."""

from __future__ import annotations

import gzip
import io
import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from command_line import PROSE, ROOT, environment, siftloom, write_documents

TEXTS = [PROSE.format(n=n) for n in range(12)]


def write_files(folder: Path, form: str) -> str:
    """Documents in one of the formats; returns what `init` is given."""
    folder.mkdir()
    rows = [{"url": f"http://x/{n}", "title": "A letter", "content": text} for n, text in enumerate(TEXTS)]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    if form == "jsonl":
        (folder / "a.jsonl").write_bytes(lines)
    elif form == "jsonl.gz":
        (folder / "a.jsonl.gz").write_bytes(gzip.compress(lines))
    elif form == "jsonl.zst":
        (folder / "a.jsonl.zst").write_bytes(pa.Codec("zstd").compress(lines, asbytes=True))
    elif form == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), folder / "a.parquet")
    else:
        for number, text in enumerate(TEXTS):
            (folder / f"{number}.txt").write_text(text)
    (folder / "notes.pdf").write_bytes(b"%PDF")
    return str(folder)


@pytest.mark.long
@pytest.mark.parametrize("form", ["jsonl", "jsonl.gz", "jsonl.zst", "parquet", "txt"])
def test_init_finds_format_text_and_id_and_its_recipe_is_one(tmp_path: Path, form: str) -> None:
    data = write_files(tmp_path / "data", form)
    found = json.loads(siftloom("init", data, "--json", cwd=tmp_path).stdout)
    (kind,) = found["kinds"]
    assert kind["formats"] == [form.partition(".")[0]]
    assert found["files"] == (12 if form == "txt" else 1)
    assert abs(found["mean_characters"] - sum(map(len, TEXTS)) / 12) <= 1
    assert found["example"].startswith("The carrier brought letter number 0")
    if form != "txt":
        assert (kind["text"], kind["id"]) == ("content", "url")
    recipe = yaml.safe_load((tmp_path / "recipe.yaml").read_text())
    ending = {"txt": "*.txt", "parquet": "*.parquet"}.get(form, f"*.{form}")
    assert recipe["nodes"]["docs"]["paths"] == [f"data/{ending}"]
    plan = json.loads(siftloom("plan", "recipe.yaml", "--json", cwd=tmp_path).stdout)
    assert {"docs", "language", "once", "curated", "lost"} <= {node["name"] for node in plan["nodes"]}


@pytest.mark.long
def test_init_replaces_no_recipe_and_names_what_it_cannot_read(tmp_path: Path) -> None:
    write_files(tmp_path / "data", "jsonl")
    siftloom("init", "data", cwd=tmp_path)
    done = siftloom("init", "data", cwd=tmp_path, code=2)
    assert "there is a file already" in done.stderr
    siftloom("init", "data", "--force", cwd=tmp_path)
    (tmp_path / "bad.jsonl").write_text("no json\n")
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b"x" * 10_000)[:30])
    (tmp_path / "numbers.jsonl").write_text('{"a": 1}\n{"a": 2}\n')
    for path, words in (
        ("none", "nothing matches"), ("data/notes.pdf", "files that end in .pdf"), ("bad.jsonl", "no row can be used"),
        ("cut.jsonl.gz", "gzip"), ("numbers.jsonl", "no column of text"),
    ):  # fmt: skip
        done = siftloom("init", path, "--out", "other.yaml", cwd=tmp_path, code=1)
        assert words in done.stderr, done.stderr
        assert not (tmp_path / "other.yaml").exists()


@pytest.mark.long
def test_init_writes_what_it_says(tmp_path: Path) -> None:
    """A folder as people have it: other formats, a damaged file, two languages, long ids, text inside a field."""
    (tmp_path / "data" / "deep").mkdir(parents=True)
    german = "Der Bote brachte den Brief an einem kalten Morgen im März in das alte Haus am Fluss. " * 4
    for number in range(3):
        rows = [
            {"id": f"{number}-{n}-{'x' * 900}", "doc": {"text": german if n % 3 == 0 else TEXTS[n]}} for n in range(12)
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "data" / ("deep" if number else "") / f"{number}.jsonl").write_text(text)
    (tmp_path / "data" / "broken.jsonl").write_bytes(b"\x00\xff{{")
    (tmp_path / "data" / "page.docx").write_text("PK")
    (tmp_path / "data" / "gone.jsonl").symlink_to("nowhere")
    (tmp_path / "data" / "none.jsonl").touch()
    long = {"id": "long", "doc": {"text": TEXTS[0] * 8000}}
    with (tmp_path / "data" / "deep" / "1.jsonl").open("a") as file:
        file.write(json.dumps(long) + "\n")
    told = siftloom("init", "data", cwd=tmp_path).stdout
    assert re.search(r"left out +files of other formats: 1 \.docx", told)
    assert "broken.jsonl: no row can be used (bad_json)" in told
    assert "gone.jsonl: a link to nothing" in told
    assert re.search(r"empty +\S+none\.jsonl", told)
    assert re.search(rf"long +\S+1\.jsonl: a document of {len(TEXTS[0]) * 8000:,} characters", told)
    assert re.search(r"size +about 3\d documents of 3\d\d characters", told)
    assert "languages  en 68%, de 32%" in told
    assert "curated --limit 3" in told
    nodes = yaml.safe_load((tmp_path / "recipe.yaml").read_text())["nodes"]
    assert nodes["docs"]["paths"] == ["data/**/*.jsonl"]
    assert nodes["docs"]["exclude"] == ["data/broken.jsonl", "data/gone.jsonl"]
    assert nodes["docs"]["text"] == "doc.text"
    assert nodes["language"]["keep"] == ["en", "de"]
    rows = [{"id": f"new-{n}", "doc": {"text": text}} for n, text in enumerate(TEXTS)]
    (tmp_path / "data" / "deep" / "new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "data" / "new.csv").write_text("id,text\n1,a\n")
    planned = siftloom("plan", "recipe.yaml", cwd=tmp_path).stdout
    assert "no node reads data/new.csv, beside the files that are read" in planned
    siftloom("run", "recipe.yaml", "docs", "--here", cwd=tmp_path)
    (tmp_path / "data" / "last.jsonl").write_text(json.dumps(rows[0]) + "\n")
    (entry, *_) = json.loads(siftloom("plan", "recipe.yaml", "docs", "--json", cwd=tmp_path).stdout)["nodes"]
    assert (entry["name"], entry["why"]) == ("docs", "1 new file of 6, 5 reused")
    (manifest,) = tmp_path.glob("runs/nodes/read-*/manifest.json")
    assert json.loads(manifest.read_text())["counts"]["shards"]["kept"] == 49  # the new file and the long document, too


@pytest.mark.long
def test_init_knows_every_format_that_read_knows(tmp_path: Path) -> None:
    """One folder of all kinds: texts under two names, pages, a letter in latin-1, a packed tar, a saved dataset."""
    import datasets

    data = tmp_path / "data"
    data.mkdir()
    write_files(data / "lines", "jsonl")
    rows = [{"id": str(n), "text": text} for n, text in enumerate(TEXTS)]
    for name, comma in (("a.csv", ","), ("a.tsv", "\t")):
        text = [f"id{comma}text", *(f'{row["id"]}{comma}"{row["text"]}"' for row in rows)]
        (data / name).write_text("\n".join(text) + "\n")
    (data / "letter.txt").write_bytes("Ein Brief über die schöne Straße. ".encode("latin-1") * 9)
    (data / "page.html").write_text(f"<html><body><p>{TEXTS[0]}</p></body></html>")
    with tarfile.open(data / "samples.tar.gz", "w:gz") as archive:
        for row in rows:
            info = tarfile.TarInfo(f"{row['id']}.txt")
            info.size = len(row["text"])
            archive.addfile(info, io.BytesIO(row["text"].encode()))
    datasets.Dataset.from_list(rows).save_to_disk(str(data / "saved"))
    (data / "config.json").write_text('{"seed": 1}')
    found = json.loads(siftloom("init", "data", "--json", cwd=tmp_path).stdout)
    assert {form for kind in found["kinds"] for form in kind["formats"]} == {
        "jsonl", "csv", "tsv", "txt", "html", "tar", "arrow",
    }  # fmt: skip
    assert found["unused"] == {"json": "no column of text among seed"}
    assert found["left_out"] == {".pdf": 1}
    nodes = yaml.safe_load((tmp_path / "recipe.yaml").read_text())["nodes"]
    reads = [node for node in nodes.values() if node["use"] == "read"]
    assert sorted((node.get("text", "text"), node.get("encoding", "")) for node in reads) == [
        ("content", ""), ("text", ""), ("text", "detect"),
    ]  # fmt: skip
    assert nodes["page_text"] == {"use": "extract", "docs": "pages"}
    assert nodes["language"]["docs"][-1] == "page_text"
    plan = json.loads(siftloom("plan", "recipe.yaml", "--json", cwd=tmp_path).stdout)
    assert len(plan["nodes"]) == len(nodes)


def test_init_reads_an_array_and_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf" + json.dumps([{"id": "1", "text": t} for t in TEXTS]).encode())
    found = json.loads(siftloom("init", "a.json", "--json", cwd=tmp_path).stdout)
    (kind,) = found["kinds"]
    assert (kind["text"], kind["id"], kind["columns"]) == ("text", "id", ["id", "text"])
    done = siftloom("init", "a.json", "-o", "none/r.yaml", cwd=tmp_path, code=2)
    assert "none/r.yaml: No such file or directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_init_then_a_limited_run(tmp_path: Path) -> None:
    """What the README's first screen says, as far as the curation goes."""
    write_documents(tmp_path / "docs")
    siftloom("init", "docs", cwd=tmp_path)
    done = siftloom("run", "recipe.yaml", "curated", "--limit", "30", cwd=tmp_path)
    assert "less than Ray takes to start: this process does it" in done.stderr
    assert "recipe is finished" in done.stdout
    assert re.search(r"curated|language +\d+ +about [\d.]+ kB", done.stdout)
    assert re.search(r"next +siftloom removed recipe \w+ --store \S+\n +siftloom ui \S+ --open", done.stdout)
    assert re.search(rf"curated +{tmp_path / 'curated'}\n", done.stdout)
    assert list((tmp_path / "curated").rglob("*.parquet"))
    run = tmp_path / "runs"
    (manifest,) = run.glob("nodes/read-*/manifest.json")
    assert json.loads(manifest.read_text())["counts"]["shards"] == {"rows": 30, "kept": 30}
    assert "limit: 30" in json.loads((run / "runs/recipe/run.json").read_text())["recipe"]


def test_a_limit_leaves_out_the_files_it_will_not_come_to(tmp_path: Path) -> None:
    from siftloom.recipe import limited

    paths = []
    for number in range(4):
        paths.append(tmp_path / f"{number}.jsonl")
        paths[-1].write_bytes(b"x" * 65536)
    fields = {"paths": (str(tmp_path / "*.jsonl"),)}
    assert limited(fields, 1) == {"paths": (str(paths[0]),), "limit": 1}
    assert limited(fields, 3)["paths"] == tuple(map(str, paths[:3]))
    assert limited(fields, 99)["paths"] == tuple(map(str, paths))


def test_the_python_surface_names_every_node_of_the_catalogue() -> None:
    import siftloom as front
    from siftloom import models as m
    from siftloom import stages as s
    from stages.catalog import NODES

    assert {getattr(s, name).kind() for name in dir(s)} == set(NODES)
    assert m.Lost("1m", rank=16, density=0.05).rank == 16
    assert front.Pipeline.__name__ == "Pipeline"
    assert front.__version__
    with pytest.raises(AttributeError, match="no node class 'Nodes'"):
        _ = s.Nodes
    with pytest.raises(AttributeError):
        _ = front.nodes


def test_a_pipeline_shows_its_nodes() -> None:
    from siftloom import Pipeline
    from siftloom import stages as s

    docs = s.Read(paths=["docs/*.jsonl"])
    assert repr(docs) == "{use: read, paths: [docs/*.jsonl]}"
    plain = s.GopherQuality(docs=docs, min_words=None, allow_empty=True)
    assert repr(plain) == "{use: gopher_quality, allow_empty: true, docs: read, min_words: null}"
    pipeline = Pipeline([s.GopherQuality(docs=docs)], name="<mine>", store="kept")
    assert repr(pipeline) == "<Pipeline '<mine>': 2 nodes, store kept>"
    assert "<caption>&lt;mine&gt;</caption>" in pipeline._repr_html_()
    assert "<tr><td>gopher_quality</td><td>gopher_quality</td><td>read</td></tr>" in pipeline._repr_html_()


PROGRAM = """
from siftloom import Pipeline, stages as s

docs = s.Read(paths=["docs/*.jsonl"], id="name")
once = s.Split(docs=s.ExactDedup(docs=s.GopherQuality(docs=docs, min_words=20)), held_out=0.1)
pipeline = Pipeline([once], name="mine", store="kept")
if __name__ == "__main__":
    print([entry.action for entry in pipeline.plan().entries])
    run = pipeline.run(here=True, progress=False)
    print(run[once].rows(["id"]).num_rows, run["exact_dedup"].removed().num_rows, run.name)
    print(run[docs].to_hf().num_rows)
    print(pipeline.recipe())
"""


@pytest.mark.long
def test_a_program_runs_and_its_recipe_is_kept(tmp_path: Path) -> None:
    write_documents(tmp_path / "docs")
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, env=environment(), text=True, capture_output=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    actions, counts, rows, *recipe = done.stdout.splitlines()
    assert actions == str(["run"] * 4)
    assert (counts, rows) == ("40 4 mine", "44")
    kept = json.loads((tmp_path / "kept/runs/mine/run.json").read_text())["recipe"]
    assert kept.strip() == "\n".join(recipe).strip()
    (tmp_path / "again.yaml").write_text(kept)
    plan = json.loads(siftloom("plan", "again.yaml", "--store", "kept", "--json", cwd=tmp_path).stdout)
    assert {node["action"] for node in plan["nodes"]} == {"reuse"}
    assert ROOT.is_dir()


def test_more_cpus_than_there_are_is_an_error(tmp_path: Path) -> None:
    done = siftloom("run", "none.yaml", "--cpus", "4096", cwd=tmp_path, code=1)
    assert re.search(r"error: --cpus 4096: a machine of \d+ CPUs; expected 1 to \d+", done.stderr)
