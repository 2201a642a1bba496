"""A corpus that grows is read and scored in what is new; the bytes are those of a run from nothing."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.driver.verify import verify
from siftloom import Pipeline
from siftloom import stages as s
from tests.stages.read.whole_node import OutOf

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
    return Pipeline([plain], name=name, store=str(store), names=nodes).run(here=True, progress=False)


def seen(log: Path) -> list[str]:
    found = sorted(line.split()[-1] for line in log.read_text().splitlines()) if log.exists() else []
    log.unlink(missing_ok=True)
    return found


def data(run, label, store):
    folder = Path(store, run[label].folder, "data")
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")}
    assert found
    return found


def test_a_file_more_is_the_only_one_that_is_read_and_scored(folder, tmp_path):
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


@pytest.mark.long
@pytest.mark.parametrize("damage", ["receipt", "gone", "cut"])
@pytest.mark.parametrize("label", ["raw", "noted", "plain"])
def test_what_is_damaged_in_the_run_before_is_made_again(folder, tmp_path, label, damage):
    store = tmp_path / "store"
    before = run(folder, store, tmp_path / "log")
    phase = before[label].manifest["new_base"] or before[label].manifest["row_phase"]
    key = before[label].keys(phase)[0]
    if damage == "receipt":
        Path(store, before[label].folder, "receipts", phase, f"{key}.json").write_text("{")
    else:
        file = next(iter(before[label].receipt(phase, key).files))
        path = Path(store, before[label].folder, "data", phase, file)
        content = path.read_bytes()
        path.unlink()
        if damage == "cut":
            path.write_bytes(content[:-7])
    lines(folder / "z.jsonl", "z1")
    found = run(folder, store, tmp_path / "log")
    fresh = run(folder, tmp_path / "fresh", tmp_path / "log")
    for each in ("raw", "noted", "plain"):
        assert data(found, each, store) == data(fresh, each, tmp_path / "fresh")


def words(seed: int) -> str:
    """80 words that hardly another seed gives."""
    return " ".join(f"w{seed * 7919 % (97 + i)}x{i * seed % 89}" for i in range(80))


def curated(folder, store, name="grow", keep="longest"):
    raw = s.Read(paths=(str(folder),), shard_bytes=1000)
    plain = s.GopherQuality(docs=raw, min_words=1, min_stop_words=0)
    distinct = s.ExactDedup(docs=plain)
    unique = s.MinHashDedup(docs=distinct, keep=keep)
    marked = s.Split(docs=unique, held_out=0.5)
    files, lines_once = s.Write(docs=marked, held_out=True), s.LineDedup(docs=marked)
    nodes = {
        "raw": raw, "plain": plain, "distinct": distinct, "unique": unique, "marked": marked, "files": files,
        "lines_once": lines_once,
    }  # fmt: skip
    return Pipeline([files, lines_once], name=name, store=str(store), names=nodes).run(here=True, progress=False)


def store_files(store: Path, run) -> dict[str, bytes]:
    """All that nodes keep, by name; of the receipts too, which say what was read."""
    found = {}
    for node in run.nodes:
        for path in sorted(Path(store, node.folder).rglob("*")):
            if path.is_file() and path.name != "lease.json":
                found[str(path.relative_to(store))] = path.read_bytes()
    assert found
    return found


def made_anew(store: Path, run, before: set[int]) -> dict[str, list[str]]:
    """Phase -> keys of the shards whose files are not those of the run before."""
    found: dict[str, list[str]] = {}
    base = run["raw"].fingerprint[:8] + "-"
    for node in run.nodes:
        for path in sorted(Path(store, node.folder, "data").rglob("*.parquet")):
            if path.stat().st_ino not in before:
                found.setdefault(f"{node.label}.{path.parent.name}", []).append(path.stem.removeprefix(base))
    return found


@pytest.mark.long
def test_shards_without_news_are_curated_once(tmp_path):
    folder, store = tmp_path / "in", tmp_path / "store"
    folder.mkdir()
    texts = {name: [words(1 + 10 * i + j) for j in range(5)] for i, name in enumerate("bcde")}
    texts["e"][4] = texts["b"][0]  # a copy

    def write(name: str, rows: list[str]) -> None:
        (folder / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in rows))

    for name, rows in texts.items():
        write(name, rows)
    first = curated(folder, store)
    assert first["files"].counts["files"]["written"] == 19
    before = {path.stat().st_ino for path in store.glob("nodes/*/data/*/*")}
    # before all others, so that every shard moves: a new page, a longer one that takes the place of one in `c`, and a
    # copy that takes the place of one in `d`
    write("a", [words(500), texts["c"][2] + " and a few words more", texts["d"][1]])
    # one more copy changes a number beside its copies, and no document that stays
    write("z", [texts["b"][0]])
    found = curated(folder, store)
    fresh = curated(folder, tmp_path / "fresh")
    assert store_files(store, found) == store_files(tmp_path / "fresh", fresh)
    made = made_anew(store, found, before)
    news = made["raw.shards"]
    assert made["plain.rows"] == made["distinct.keys"] == news
    (copied,) = set(made["unique.keys"]) - set(news)  # the shard of `d` that has lost a page
    lost = set(made["marked.rows"]) - set(news)  # with that of `c`
    assert len(lost) == 2
    assert copied in lost
    assert set(made["lines_once.keys"]) == {*news, *lost}
    more = set(made["files.files"]) - {*news, *lost}
    assert len(more) == 1  # the shard of `b`: the number of copies is one of the columns that are written


def test_a_damaged_file_that_two_runs_share_is_made_again_and_not_linked_again(folder, tmp_path):
    store = tmp_path / "store"
    run(folder, store, tmp_path / "log")
    lines(folder / "z.jsonl", "z1")
    found = run(folder, store, tmp_path / "log")
    for label in ("raw", "plain"):
        (shared, *_) = (
            path for path in sorted(Path(store, found[label].folder, "data").rglob("*.parquet"))
            if path.stat().st_nlink > 1
        )  # fmt: skip
        before = shared.read_bytes()
        with shared.open("r+b") as file:
            file.seek(len(before) // 2)
            file.write(bytes([before[len(before) // 2] ^ 1]))
        damaged = verify(str(store), "grow")
        assert {finding.withdrawn for finding in damaged} == {True}
        assert len(damaged) == 2  # in both nodes
        again = run(folder, store, tmp_path / "log")
        assert shared.read_bytes() == before
        assert verify(str(store), again.name) == []


def test_scores_of_one_file_that_is_read_for_two_fields_are_not_mixed(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()

    def write(name: str, *rows: tuple[str, str]) -> None:
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps({"text": text, "title": title}) + "\n" for text, title in rows))

    def letters(store: str, limit: int | None = None) -> list[int]:
        texts = s.Read(paths=(str(folder),), text="text")
        titles = s.Read(paths=(str(folder),), text="title", limit=limit)
        node = s.Map(
            docs=(texts, titles), fn="tests.stages.map_functions:noted", writes={"letters": "int32"}, new_text=True,
            params={"log": str(tmp_path / "log")},
        )  # fmt: skip
        found = Pipeline([node], name="two", store=str(tmp_path / store), names={"n": node}).run(
            here=True, progress=False
        )
        return found["n"].rows(["letters"])["letters"].to_pylist()

    write("b", ("a long text", "short"), ("another long text", "title"))
    assert letters("store", limit=1) == [11, 17, 5]
    write("a", ("the first", "one"))
    assert letters("store") == letters("fresh") == [9, 11, 17, 3, 5, 5]


def test_what_hangs_on_the_number_of_shards_is_made_again(folder, tmp_path):
    def numbers() -> set[bytes]:
        node = OutOf(docs=s.Read(paths=(str(folder),), shard_bytes=150))
        found = Pipeline([node], name="n", store=str(tmp_path / "store"), names={"n": node}).run(
            here=True, progress=False
        )
        return set(data(found, "n", tmp_path / "store").values())

    (before,) = numbers()
    lines(folder / "z.jsonl", "z1")
    assert numbers() == {str(int(before) + 1).encode()}


def test_a_run_without_the_limit_goes_on_from_the_run_with_it(folder, tmp_path):
    log = tmp_path / "log"
    found = run(folder, tmp_path / "store", log, limit=4)
    assert found["plain"].rows(["id"]).num_rows == 4
    assert seen(log) == ["b1", "b2", "b3", "d1"]
    run(folder, tmp_path / "store", log)
    assert seen(log) == sorted(["d1", "d2", *(f"p{i}" for i in range(6)), "t0", "t1", "t2"])


def test_every_limit_in_one_store_reads_the_rows_that_it_reads_in_a_store_of_its_own(folder, tmp_path):
    def texts(limit: int) -> list[str]:
        raw = s.Read(paths=(str(folder),), shard_bytes=150, limit=limit)
        found = Pipeline([raw], name="some", store=str(tmp_path / "store"), names={"raw": raw}).run(
            here=True, progress=False
        )
        return [text.split()[-1] for text in found["raw"].rows(["text"])["text"].to_pylist()]

    rows = ["b1", "b2", "b3", "d1", "d2", *(f"p{i}" for i in range(6)), "t0", "t1", "t2"]
    for limit in (5, 20, 3):
        assert texts(limit) == rows[:limit]
    lines(folder / "a.jsonl", "a1", "a2")
    assert texts(7) == ["a1", "a2", *rows[:5]]
    (folder / "a.jsonl").unlink()
    (folder / "b.jsonl").unlink()
    assert texts(9) == rows[3:12]


def test_what_a_file_is_called_is_part_of_the_identity_as_far_as_it_says_the_format(tmp_path):
    first, other = tmp_path / "one" / "a.jsonl", tmp_path / "two" / "a.txt"
    for path in (first, other):
        path.parent.mkdir()
        lines(path, "1", "2", "3")
    nodes = [s.Read(paths=(str(path),)) for path in (first, other)]
    rows = [
        Pipeline([node], name=f"n{i}", store=str(tmp_path / "store"), names={"raw": node}).run(
            here=True, progress=False
        )["raw"]
        for i, node in enumerate(nodes)
    ]
    assert [found.rows(["id"]).num_rows for found in rows] == [3, 1]


def test_two_equal_files_give_their_documents_ids_of_their_own(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / "in").mkdir(exist_ok=True)
        lines(tmp_path / "in" / f"{name}.jsonl", "1", "2")
        pq.write_table(pa.table({"text": ["one", "two"]}), tmp_path / "in" / f"{name}.parquet")
        for ending in ("txt", "html"):  # small files that share a task, and hold the same bytes in two formats
            (tmp_path / "in" / f"{name}.{ending}").write_text("<p>one page")
    raw = s.Read(paths=(str(tmp_path / "in"),))
    found = Pipeline([raw], name="equal", store=str(tmp_path / "store"), names={"raw": raw}).run(
        here=True, progress=False
    )
    ids = found["raw"].rows(["id"])["id"].to_pylist()
    assert len(set(ids)) == len(ids) == 18
