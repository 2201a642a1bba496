"""What the contract gives to nodes with models, each with a small node; on Ray where a worker dies."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from corpus import bytes_of, write_corpus
from model_nodes import Centres, Dice, Halves, Loads, Pairs, Picky, Sizes, Vectors, marks_of
from nodes import Lines, Long

from pipeline.contract import Node, Resources, RowPhase, TaskPhase, arrow_type, one
from pipeline.driver.execute import Options, run
from pipeline.driver.plan import plan
from pipeline.errors import NodeFailed
from pipeline.graph import build
from stages.compact import Compact

ROWS = 23
HERE, ON_RAY = Options(here=True), Options(cpus=2)


@pytest.fixture
def docs(tmp_path) -> Lines:
    return Lines(paths=write_corpus(tmp_path / "in", files=2, lines=ROWS))


@pytest.fixture
def marks(tmp_path) -> str:
    (tmp_path / "marks").mkdir()
    return str(tmp_path / "marks")


def go(store: Path, *targets: Node, options: Options = HERE):
    return run(build(targets), name="run", store=str(store), options=options)


def side_cars(store: Path) -> dict[str, str]:
    return {name: digest for name, digest in bytes_of(store).items() if "/data/rows/" in name}


# batches and pieces --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("batch_rows", "sizes"), [(5, [5] * 20 + [3] * 3), (None, [23] * 23), (100, [23] * 23)])
def test_a_function_is_given_batches_of_the_size_it_asks_for(docs, tmp_path, batch_rows, sizes):
    rows = go(tmp_path / "store", Sizes(docs=docs, batch_rows=batch_rows))["sizes"].rows(["batch"])
    assert rows["batch"].to_pylist() == sizes * 2


def test_batches_are_of_rows_that_are_alive(docs, tmp_path):
    run = go(tmp_path / "store", Sizes(docs=Long(docs=docs, min_chars=12), batch_rows=4))
    shards = [run["sizes"].shard_rows(shard.name, ["batch"])["batch"].to_pylist() for shard in run["sizes"].shards()]
    for batches in shards:
        full = len(batches) // 4 * 4
        assert 0 < len(batches) < ROWS
        assert batches == [4] * full + [len(batches) - full] * (len(batches) - full)


@pytest.mark.parametrize("commit_rows", [None, 10])
def test_batches_end_sooner_where_their_texts_are_long(docs, tmp_path, commit_rows):
    node = Sizes(docs=docs, batch_rows=5, batch_tokens=12, commit_rows=commit_rows)
    table = go(tmp_path / "store", node)["sizes"].rows(["text", "batch"])
    tokens = [-(-len(text.encode()) // 4) for text in table["text"].to_pylist()]
    sizes, row = table["batch"].to_pylist(), 0
    while row < len(sizes):
        batch = tokens[row : row + sizes[row]]
        assert len(batch) == 1 or len(batch) * max(batch) <= 12
        at = row % ROWS  # batches of five rows are what is cut, from the beginning of every shard
        end = row + len(batch)
        if (at + len(batch)) % 5 and end % ROWS:
            assert (len(batch) + 1) * max(*batch, tokens[end]) > 12, "one more would have had room"
        row = end
    assert len(set(sizes)) > 2


def test_a_killed_worker_loses_one_piece_and_no_byte_tells_of_it(local_ray, docs, tmp_path, marks):
    whole = go(tmp_path / "whole", Sizes(docs=docs, batch_rows=2))
    node = Sizes(docs=docs, batch_rows=2, commit_rows=6, marks=marks, dies_at=15)
    go(tmp_path / "pieces", node, options=ON_RAY)
    assert Path(marks, "dead").exists()
    assert side_cars(tmp_path / "pieces") == side_cars(tmp_path / "whole")
    begun = sorted(int(first) for first, _, _ in marks_of(marks, "rows"))
    # rows 12 and 13 were done when the worker died at 14 and 15; what was in pieces before is done once a shard
    for first in range(0, ROWS, 2):
        assert begun.count(first) <= (4 if first in (12,) else 3 if first in (14, 16) else 2), begun
    assert sum(begun.count(first) for first in (0, 2, 4, 6, 8, 10)) == 2 * 6
    assert not list((tmp_path / "pieces").rglob("pieces/*"))
    assert whole["sizes"].finished


def test_pieces_of_other_rows_are_not_used(docs, tmp_path, marks):
    node = Sizes(docs=docs, batch_rows=2, commit_rows=6)
    store = tmp_path / "store"
    folder = store / go(tmp_path / "other", node)["sizes"].folder / "scratch" / "pieces" / "rows"
    go(store, docs)
    (shard,) = [s.name for s in go(tmp_path / "other", node)["sizes"].shards()][:1]
    (folder / shard).mkdir(parents=True)
    (folder / shard / "000000.arrow").write_bytes(b"half a piece")
    go(store, node)
    assert side_cars(store) == side_cars(tmp_path / "other")


@pytest.mark.parametrize("fields", [{"needs": ("text",)}, {"batch_rows": 3}])
def test_tokens_bound_batches_of_rows_that_have_a_text(fields):
    with pytest.raises(ValueError, match="batch_tokens bounds batches of `batch_rows` rows"):
        RowPhase(open=lambda ctx: None, batch_tokens=100, **fields)


def test_commit_rows_is_a_multiple_of_batch_rows():
    with pytest.raises(ValueError, match=r"commit_rows \(10\) must be a multiple of batch_rows \(4\)"):
        RowPhase(open=lambda ctx: None, batch_rows=4, commit_rows=10)


# errors of rows ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["raises", "says"])
def test_an_error_of_a_row_is_its_reason(docs, tmp_path, how):
    run = go(tmp_path / "store", Picky(docs=docs, how=how))
    bad = [text for text in run["lines"].rows(["text"])["text"].to_pylist() if "rhythm" in text]
    gone = run["picky"].removed(own=True)
    failed = gone.filter(np.array([r == "picky.error.BadRow" for r in gone["reason"].to_pylist()]))
    assert len(failed) == len(bad) > 3
    assert run["picky"].counts["rows"]["removed.picky.error.BadRow"] == len(bad)
    assert run["picky"].counts["rows"]["removed.picky.long"] > 0
    import pyarrow.parquet as pq

    shard = run["picky"].shards()[0]
    side = pq.read_table(run["picky"].path("rows", shard.name, ".parquet")).to_pylist()
    texts = run["lines"].shard_rows(shard.name, ["text"])["text"].to_pylist()
    for row, text in zip(side, texts, strict=True):
        assert row["removed_error"] == (f"cannot read {text!r}" if "rhythm" in text else None)
        assert (row["length"] is None) == ("rhythm" in text)


def test_both_ways_to_say_it_give_the_same_bytes(docs, tmp_path):
    found = [side_cars_of(go(tmp_path / how, Picky(docs=docs, how=how))["picky"]) for how in ("raises", "says")]
    assert found[0] == found[1]


def side_cars_of(view) -> list[bytes]:
    return [view.path("rows", key, ".parquet").read_bytes() for key in view.keys("rows")]


@pytest.mark.parametrize("fields", [{"on_error": "fail"}, {"on_error": "fail", "how": "says"}, {"fatal": True}])
def test_an_error_that_no_row_may_stand_for_fails_the_shard(docs, tmp_path, fields):
    with pytest.raises(NodeFailed, match=r"picky, \w{8}-000\d: cannot read"):
        go(tmp_path / "store", Picky(docs=docs, **fields))


# vectors -------------------------------------------------------------------------------------------------------------


def test_vectors_come_back_as_they_were_and_a_new_base_carries_them(docs, tmp_path):
    run = go(tmp_path / "store", Compact(docs=Vectors(docs=docs)))
    kinds = Vectors(docs=docs).adds()
    for label in ("vectors", "compact"):
        rows = run[label].rows(["text", *kinds])
        for name in ("letters", "half"):
            assert rows[name].type.list_size == arrow_type(kinds[name]).list_size
        for row in rows.to_pylist():
            text = row["text"].lower()
            assert row["letters"] == [text.count(chr(97 + i)) for i in range(26)]
            assert row["half"] == (None if not text[:1].isalpha() else [0.0, len(text)])
            assert row["places"] == ([i for i, c in enumerate(text) if c == "a"] or None)
            assert row["shares"] == [i / 2 for i, c in enumerate(text) if c == "a"]
        halves = np.concatenate([v for v in rows["half"].to_pylist() if v is not None])
        assert not np.signbit(halves).any()
    go(tmp_path / "again", Compact(docs=Vectors(docs=docs)))
    assert bytes_of(tmp_path / "again") == bytes_of(tmp_path / "store")


@pytest.mark.parametrize("kind", ["float32[0]", "string[3]", "vector", "list<vector>"])
def test_a_type_without_a_meaning_is_refused(kind):
    with pytest.raises(ValueError, match=r"No type alias for"):
        arrow_type(kind)


# rounds --------------------------------------------------------------------------------------------------------------


def lloyd(values: list[float], k: int) -> tuple[list[float], int]:
    """k-means in a loop; returns the centres and how many rounds there were."""
    centres = [10.0 * i for i in range(k)]
    for number in range(100):
        nearest = [min(range(k), key=lambda i: (abs(v - centres[i]), i)) for v in values]
        groups = [[v for v, n in zip(values, nearest, strict=True) if n == i] for i in range(k)]
        new = [sum(group) / len(group) if group else centres[i] for i, group in enumerate(groups)]
        if new == centres:
            return centres, number + 1
        centres = new
    raise AssertionError


def test_rounds_end_when_they_may_and_equal_a_loop(docs, tmp_path):
    run = go(tmp_path / "store", Centres(docs=Long(docs=docs)))
    chars = run["long"].rows(["chars"])["chars"].to_pylist()
    centres, rounds = lloyd(chars, 3)
    assert json.loads(run["centres"].path("last", "all", ".json").read_text()) == pytest.approx(centres)
    assert run["centres"].counts["last"]["rounds"] == rounds > 2
    assert run["centres"].keys(f"sums-{rounds - 1:03d}") != run["centres"].keys(f"sums-{rounds:03d}") == []


def test_there_are_no_more_rounds_than_allowed(docs, tmp_path):
    run = go(tmp_path / "store", Centres(docs=Long(docs=docs), most=2))
    assert run["centres"].counts["last"]["rounds"] == 2


def test_a_round_that_failed_goes_on_where_it_was(docs, tmp_path, marks):
    node = Centres(docs=Long(docs=docs), marks=marks, dies="1")
    with pytest.raises(NodeFailed, match="not well"):
        go(tmp_path / "store", node)
    Path(marks, "well").touch()
    go(tmp_path / "store", node)
    rounds = [int(number) for number, _ in marks_of(marks, "sums")]
    assert rounds.count(0) == 2
    assert rounds.count(1) == 4
    assert rounds.count(2) == 2


# new bases -----------------------------------------------------------------------------------------------------------


def test_new_documents_name_those_they_were_made_from(docs, tmp_path):
    run = go(tmp_path / "store", Long(docs=Halves(docs=docs), min_chars=1))
    texts = {row["id"]: row["text"] for row in run["lines"].rows(["id", "text"]).to_pylist()}
    columns = ["id", "text", "half", "parents", "parent_base", "parent_shard", "parent_row", "chars"]
    rows = run["long"].rows(columns).to_pylist()
    assert len({row["id"] for row in rows}) == len(rows) == 2 * sum(len(text.split()) > 1 for text in texts.values())
    shards = {shard.key: shard for shard in run["lines"].shards()}
    for row in rows:
        (parent,) = row["parents"]
        words = texts[parent].split()
        assert row["text"] == " ".join((words[: len(words) // 2], words[len(words) // 2 :])[row["half"]])
        assert row["id"].endswith(f":{row['half']}")
        shard = shards[row["parent_shard"]]
        assert shard.base == row["parent_base"]
        ids = run["lines"].shard_rows(shard.name, ["id"])["id"].to_pylist()
        assert ids[row["parent_row"]] == parent


@pytest.mark.long
def test_a_killed_worker_of_a_new_base_loses_one_piece(local_ray, docs, tmp_path, marks):
    go(tmp_path / "whole", Halves(docs=docs))
    go(tmp_path / "pieces", Halves(docs=docs, commit_rows=10, marks=marks, dies_at="17"), options=ON_RAY)
    assert Path(marks, "dead").exists()
    whole, pieces = (
        {name: digest for name, digest in bytes_of(tmp_path / store).items() if "/data/" in name}
        for store in ("whole", "pieces")
    )
    assert whole == pieces
    assert len(marks_of(marks, "rows")) <= 2 * 5 + 1 + 2


def test_documents_of_pairs_have_two_parents(docs, tmp_path):
    run = go(tmp_path / "store", Pairs(docs=docs))
    texts = {row["id"]: row["text"] for row in run["lines"].rows(["id", "text"]).to_pylist()}
    rows = run["pairs"].rows(["id", "text", "parents", "parent_shard"]).to_pylist()
    assert len(rows) == ROWS
    for row in rows:
        first, second = row["parents"]
        assert row["text"] == f"{texts[first]} / {texts[second]}"
        assert row["parent_shard"] is None


# what a worker loads -------------------------------------------------------------------------------------------------


def test_per_shard_phases_load_once_per_worker(tmp_path, marks):
    docs = Lines(paths=write_corpus(tmp_path / "in", files=9, lines=5))
    run = go(tmp_path / "store", Loads(docs=docs, marks=marks))
    loads = marks_of(marks, "load")
    assert len(loads) == len({tuple(load) for load in loads}) <= 4
    assert len(marks_of(marks, "open")) == 9
    assert set(run["loads"].rows(["loaded"])["loaded"].to_pylist()) == {7}
    assert [json.loads(run["loads"].path("files", key, ".json").read_text()) for key in run["loads"].keys("files")] == [
        [7, 5]
    ] * 9


# identity by receipt -------------------------------------------------------------------------------------------------


def test_a_node_that_cannot_promise_bytes_says_so_and_keeps_what_it_has(docs, tmp_path):
    graph = build([Long(docs=Dice(docs=docs))])
    run = go(tmp_path / "store", *graph.targets)
    before = bytes_of(tmp_path / "store")
    notices = {entry.name: entry.notices for entry in plan(graph, str(tmp_path / "store"), "run").entries}
    assert any("cannot promise the same bytes" in notice for notice in notices["dice"])
    key = run["dice"].keys("rows")[0]
    (tmp_path / "store" / run["dice"].folder / "receipts" / "rows" / f"{key}.json").unlink()
    (tmp_path / "store" / run["dice"].folder / "manifest.json").unlink()
    (tmp_path / "store" / run["long"].folder / "manifest.json").unlink()
    go(tmp_path / "store", *graph.targets)
    after = bytes_of(tmp_path / "store")
    changed = {name for name in before if after[name] != before[name]}
    # its own file and receipt, and the reader that had read the other bytes; all other shards are as they were
    assert {name for name in changed if "dice" in name and key in name}
    assert not {name for name in changed if "/data/" in name and key not in name}


# what Ray is asked for -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"cpus": -1}, "a negative amount"),
        ({"gpus": 1.5}, "a whole number"),
        ({"actors": (2, 1)}, "fewest, most"),
        ({"concurrency": 4}, "above 1 is for actors"),
    ],
)
def test_resources_that_cannot_be_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Resources(**fields)


def test_keyed_tasks_are_no_actors():
    with pytest.raises(ValueError, match="keyed tasks are no actors"):
        TaskPhase(name="x", keys=one, run=lambda ctx, key: None, resources=Resources(actors=(1, 2)))
