"""Curation through the engine: JSON lines and Parquet in place, every stage of this room, a changed threshold."""

import gzip
import hashlib
import json
import operator
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from siftloom import Pipeline
from siftloom import stages as s

WORDS = "the river went on past that old mill and she thought of her brother with the evening over fields to be".split()
GOOD = [" ".join(WORDS[(i * 7 + j * j) % len(WORDS)] for j in range(60 + i % 9)) for i in range(120)]


def texts():
    """Kind -> documents."""
    return {
        "good": GOOD,
        "short": ["too short a text to be of any use to anybody in the end"] * 3,
        "german": ["Dies ist ein einfacher Satz über das Wetter im Norden des Landes und die See. " * 5],
        "repeated": ["Buy the thing now and save with that.\n" * 20],
    }


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    rows = [{"text": text, "source": kind, "id": i} for kind, found in texts().items() for i, text in enumerate(found)]
    lines = [json.dumps(row) for row in rows]
    lines.insert(5, '{"text": "cut off')
    (folder / "a.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    column = pa.array([*(f"quiet {text}" for text in GOOD[:50]), None, "", *(text + " end" for text in GOOD[50:80])])
    table = pa.table({"text": column.cast(pa.large_string()), "id": range(82)})
    pq.write_table(table, folder / "b.parquet", row_group_size=30)
    return folder


def graph(sources, share=0.5, min_words=50):
    raw = s.Read(paths=(f"{sources}/*",), shard_bytes=20_000)
    plain = s.GopherQuality(docs=s.Language(docs=raw), min_words=min_words, min_mean_word=2.0)
    rule = s.GopherRepetition(docs=plain, max_dup_5grams=None, max_dup_6grams=None, max_dup_7grams=None,
                              max_dup_8grams=None, max_dup_9grams=None, max_dup_10grams=None, max_top_2gram=None,
                              max_top_3gram=None, max_top_4gram=None)  # fmt: skip
    loud = s.Map(docs=rule, fn="tests.stages.map_functions:shout", per="row", writes={"loud": "bool"}, new_text=True)
    size = s.Map(docs=loud, fn="tests.stages.map_functions:letters", writes={"letters": "int32"}, removes=("short",))
    best = s.Select(docs=s.Split(docs=size, held_out=0.1), by="letters", keep_fraction=share)
    small = s.Compact(docs=best)
    columns = ("id", "text", "source", "source_id", "parent_row")
    out = s.Write(docs=small, format="jsonl.gz", columns=columns, held_out=True)
    return {"raw": raw, "plain": plain, "rule": rule, "best": best, "small": small, "out": out}


def run(nodes, store, name="curation"):
    pipeline = Pipeline([nodes["out"]], name=name, store=str(store), names=nodes)
    return pipeline.run(here=True, progress=False)


@pytest.fixture(scope="module")
def first(sources, tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    nodes = graph(sources)
    return nodes, run(nodes, store), store


def written(store: Path) -> list[dict]:
    files = sorted(store.glob("nodes/write-*/data/files/*.jsonl.gz"))
    return [json.loads(line) for file in files for line in gzip.open(file, "rt", encoding="utf-8")]


def test_every_document_is_kept_or_has_its_reason(first):
    _, found, _ = first
    raw = found["raw"].counts["shards"]
    assert raw == {"rows": 208, "kept": 205, "rejected.bad_json": 1, "rejected.empty": 1, "rejected.no_text": 1}
    (aside,) = found["raw"].figures
    assert dict(zip(aside["labels"], aside["values"], strict=True)) == {"bad_json": 1, "empty": 1, "no_text": 1}
    reasons = {row["reason"] for label in ("plain", "rule", "best") for row in found[label].removed().to_pylist()}
    assert reasons == {
        "language.other",
        "gopher_quality.min_words",
        "gopher_repetition.max_dup_lines",
        "select.low",
    }
    alive = found["best"].rows(["id", "held_out", "letters"])
    counted = [row for row in alive.to_pylist() if not row["held_out"]]
    voters = [row for row in found["split"].rows(["held_out"]).to_pylist() if not row["held_out"]]
    assert len(counted) == int(len(voters) * 0.5 + 0.5)


def test_changed_text_and_ids_go_through_compaction_into_files(first, sources):
    _, found, store = first
    rows = written(store)
    assert len(rows) == found["small"].rows(["id"]).num_rows > 50
    digests = {
        hashlib.sha256((sources / name).read_bytes()).hexdigest()[:12]: name for name in ("a.jsonl.gz", "b.parquet")
    }
    parquet = pq.read_table(sources / "b.parquet").to_pylist()
    with gzip.open(sources / "a.jsonl.gz", "rt") as file:
        lines = file.read().split("\n")
    seen = set()
    for row in rows:
        digest, number = row["id"].split(":")
        name = digests[digest]
        origin = parquet[int(number)] if name == "b.parquet" else json.loads(lines[int(number)])
        quiet = "quiet" in origin["text"]
        assert row["text"] == (origin["text"].upper() + "!" if quiet else origin["text"])
        assert row["source"] == origin.get("source")
        assert row["source_id"] == str(origin["id"])
        seen.add((name, quiet))
    assert seen == {("a.jsonl.gz", False), ("b.parquet", True), ("b.parquet", False)}


def test_a_document_says_where_it_went(first):
    _, found, _ = first
    kept = found["best"].rows(["id"])["id"][0].as_py()
    assert {step["state"] for step in found.why(kept)} == {"read", "kept"}
    gone = next(row for row in found["rule"].removed().to_pylist() if row["node"] == "rule")
    steps = {step["node"]: step for step in found.why(gone["id"])}
    assert steps["rule"]["reason"] == "gopher_repetition.max_dup_lines"
    assert steps["rule"]["value"] == pytest.approx(0.95)


def test_a_new_threshold_scores_nothing_again_and_equals_a_fresh_run(first, sources, tmp_path):
    _, _, store = first
    nodes = graph(sources, min_words=62)
    again = run(nodes, store, "changed")
    fresh = run(nodes, tmp_path, "changed")
    assert again["out"].fingerprint == fresh["out"].fingerprint
    assert again["plain"].counts["rows"]["removed.gopher_quality.min_words"] > 3
    for label in ("plain", "best", "small", "out"):
        folders = [
            sorted(Path(root, view[label].folder, "data").rglob("*.*"))
            for root, view in ((store, again), (tmp_path, fresh))
        ]
        assert [file.name for file in folders[0]] == [file.name for file in folders[1]]
        assert [file.read_bytes() for file in folders[0]] == [file.read_bytes() for file in folders[1]]


def test_the_files_are_taken_home_and_another_place_costs_a_copy_only(first, tmp_path):
    nodes, found, store = first
    files = sorted((store / found["out"].folder / "data" / "files").iterdir())
    expected = [json.loads(line) for file in files for line in gzip.open(file, "rt", encoding="utf-8")]
    home = tmp_path / "home"
    out = s.Write(docs=nodes["small"], format="jsonl.gz", columns=nodes["out"].columns, held_out=True, to=str(home))
    run({**nodes, "out": out}, store, "home")
    rows = [json.loads(line) for file in sorted((home / "data").iterdir()) for line in gzip.open(file, "rt")]
    by_id = operator.itemgetter("id")  # files in the store are named after what was read, at home by their number
    assert sorted(rows, key=by_id) == sorted(expected, key=by_id)
    assert {path.name for path in home.iterdir()} == {
        "data",
        "README.md",
        "croissant.json",
        "prov.json",
        "manifest.json",
    }
    card = (home / "README.md").read_text()
    gone = Counter(row["reason"] for row in found["best"].removed().to_pylist())
    assert {"language.other", "select.low"} <= set(gone)
    for reason, number in gone.items():
        assert f"`{reason}` {number}" in card
    assert "208 documents, 3 removed (`bad_json` 1, `empty` 1, `no_text` 1)" in card


def test_the_way_of_a_document_goes_through_a_new_base(first):
    _, found, _ = first
    name = found["small"].rows(["id"])["id"][0].as_py()
    steps = [step["node"] for step in found.why(name)]
    assert steps[0] == "raw"
    assert steps.index("best") < steps.index("small")


def test_what_was_removed_before_a_new_base_is_listed_behind_it(first):
    _, found, _ = first
    before, behind = (found[name].removed().to_pylist() for name in ("best", "small"))
    assert before
    assert [row for row in behind if row["node"] != "small"] == before
