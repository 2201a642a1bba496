"""A corpus that grows is read and scored in what is new; the bytes are those of a run from nothing."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from siftloom import Pipeline
from siftloom import stages as s

LONG = "a text of some length about the river and the old mill, number"


def lines(path: Path, *names: str) -> None:
    path.write_text("".join(json.dumps({"text": f"{LONG} {name}"}) + "\n" for name in names))


@pytest.fixture
def folder(tmp_path):
    found = tmp_path / "in"
    found.mkdir()
    lines(found / "b.jsonl", "b1", "b2", "b3")
    lines(found / "d.jsonl", "d1", "d2")
    pq.write_table(pa.table({"text": [f"{LONG} p{i}" for i in range(6)]}), found / "p.parquet", row_group_size=2)
    for i in range(3):
        (found / f"t{i}.txt").write_text(f"{LONG} t{i}")
    return found


def run(folder, store, log, name="grow", **fields):
    raw = s.Read(paths=(str(folder),), shard_bytes=150, **fields)
    noted = s.Map(
        docs=raw, fn="tests.stages.map_functions:noted", writes={"letters": "int32"}, new_text=True,
        params={"log": str(log)},
    )  # fmt: skip
    plain = s.GopherQuality(docs=noted, min_words=1, min_stop_words=0)
    nodes = {"raw": raw, "noted": noted, "plain": plain}
    return Pipeline([plain], name=name, store=str(store), names=nodes).run(progress=False)


def seen(log: Path) -> list[str]:
    found = sorted(line.split()[-1] for line in log.read_text().splitlines()) if log.exists() else []
    log.unlink(missing_ok=True)
    return found


def data(run, label, store):
    folder = Path(store, run[label].folder, "data")
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")}


def test_a_file_more_is_the_only_one_that_is_read_and_scored(local_ray, folder, tmp_path):
    log = tmp_path / "log"
    run(folder, tmp_path / "store", log)
    assert seen(log) == sorted(["b1", "b2", "b3", "d1", "d2", *(f"p{i}" for i in range(6)), "t0", "t1", "t2"])
    lines(folder / "a.jsonl", "a1")  # before all others, so that every place in the listing moves
    lines(folder / "d.jsonl", "d1", "d2", "d3")
    before = {path.stat().st_ino for path in (tmp_path / "store").glob("nodes/read-*/data/shards/*.parquet")}
    found = run(folder, tmp_path / "store", log)
    assert seen(log) == ["a1", "d1", "d2", "d3"]
    shards = Path(tmp_path, "store", found["raw"].folder, "data/shards").glob("*.parquet")
    assert len({path.stat().st_ino for path in shards} & before) == len(before) - 1  # linked, but for d.jsonl
    fresh = run(folder, tmp_path / "fresh", log)
    assert found["plain"].fingerprint == fresh["plain"].fingerprint
    for label in ("raw", "noted", "plain"):
        assert data(found, label, tmp_path / "store") == data(fresh, label, tmp_path / "fresh")
    texts = [text.split()[-1] for text in found["plain"].rows(["text"])["text"].to_pylist()]
    assert texts == [t.upper() for t in ["a1", "b1", "b2", "b3", "d1", "d2", "d3"]] + [
        *(f"P{i}" for i in range(6)), "T0", "T1", "T2"
    ]  # fmt: skip


def test_a_run_without_the_limit_goes_on_from_the_run_with_it(local_ray, folder, tmp_path):
    log = tmp_path / "log"
    found = run(folder, tmp_path / "store", log, limit=4)
    assert found["plain"].rows(["id"]).num_rows == 4
    assert seen(log) == ["b1", "b2", "b3", "d1"]
    run(folder, tmp_path / "store", log)
    assert seen(log) == sorted(["d1", "d2", *(f"p{i}" for i in range(6)), "t0", "t1", "t2"])


def test_what_a_file_is_called_is_part_of_the_identity_as_far_as_it_says_the_format(local_ray, tmp_path):
    first, other = tmp_path / "one" / "a.jsonl", tmp_path / "two" / "a.txt"
    for path in (first, other):
        path.parent.mkdir()
        lines(path, "1", "2", "3")
    nodes = [s.Read(paths=(str(path),)) for path in (first, other)]
    rows = [
        Pipeline([node], name=f"n{i}", store=str(tmp_path / "store"), names={"raw": node}).run(progress=False)["raw"]
        for i, node in enumerate(nodes)
    ]
    assert [found.rows(["id"]).num_rows for found in rows] == [3, 1]


def test_two_equal_files_give_their_documents_ids_of_their_own(local_ray, tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / "in").mkdir(exist_ok=True)
        lines(tmp_path / "in" / f"{name}.jsonl", "1", "2")
        pq.write_table(pa.table({"text": ["one", "two"]}), tmp_path / "in" / f"{name}.parquet")
        for ending in ("txt", "html"):  # small files that share a task, and hold the same bytes in two formats
            (tmp_path / "in" / f"{name}.{ending}").write_text("<p>one page")
    raw = s.Read(paths=(str(tmp_path / "in"),))
    found = Pipeline([raw], name="equal", store=str(tmp_path / "store"), names={"raw": raw}).run(progress=False)
    ids = found["raw"].rows(["id"])["id"].to_pylist()
    assert len(set(ids)) == len(ids) == 18
