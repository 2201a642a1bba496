"""A task is found by what it does and what it takes, whatever graph it was done in. The driver works without Ray."""

import json
from pathlib import Path

import pytest

from pipeline.driver.execute import Driver, Options
from pipeline.graph import build
from pipeline.worker import phase_run
from siftloom import stages as s
from tests.stages.walk.work import CountingScorer, Work

LONG = "a text of some length about the river and the old mill, number"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(phase_run, "Scorer", CountingScorer)
    found = tmp_path / "in"
    found.mkdir()
    for name in "abc":
        rows = [f"{LONG} {name}{i}" for i in range(3)] + [f"{LONG} in all files"]
        (found / f"{name}.jsonl").write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
    return found


def run(folder: Path, store: Path, keep="first", least=1, more=False) -> tuple[int, dict[str, bytes]]:
    """Rows that functions were called for, and what all nodes keep, by name."""
    docs = s.Read(paths=(str(folder),))
    if more:
        docs = s.Split(docs=docs, held_out=0.5)
    distinct = s.ExactDedup(docs=docs, keep=keep, max_removed_fraction=1.0)
    plain = s.GopherQuality(docs=distinct, min_words=least, min_stop_words=0)
    files = s.Write(docs=plain, format="jsonl.gz", columns=("id", "text"))
    driver = Driver(build([files]), "actions", str(store), Options(here=True), None, None)
    before = Work.rows
    driver.run()
    folders = [store / driver.state.folder(node) for node in driver.graph.nodes]
    paths = [path for each in folders for path in sorted(each.rglob("*.*")) if path.name != "lease.json"]
    return Work.rows - before, {str(path.relative_to(store)): path.read_bytes() for path in paths}


def test_rows_that_come_out_of_another_rule_as_they_were_are_not_looked_at_again(folder, tmp_path):
    store = tmp_path / "store"
    rows, _ = run(folder, store)
    assert rows == 12 + 10  # verdicts over all rows, the filter over those that stay
    written = {path.stat().st_ino for path in store.glob("nodes/write-*/data/files/*")}
    # another rule for what stays, which comes to the same: verdicts are made again, and nothing behind them
    rows, found = run(folder, store, keep="longest")
    assert rows == 12
    assert {path.stat().st_ino for path in store.glob("nodes/write-*/data/files/*")} == written
    assert found == run(folder, tmp_path / "fresh", keep="longest")[1]


def test_a_column_more_before_a_node_that_does_not_take_it_changes_nothing_behind(folder, tmp_path):
    run(folder, tmp_path / "store")
    rows, found = run(folder, tmp_path / "store", more=True)
    assert rows == 12 + 12  # the split and the verdicts
    assert found == run(folder, tmp_path / "fresh", more=True)[1]


def test_a_threshold_copies_scores_and_calls_no_function(folder, tmp_path):
    run(folder, tmp_path / "store")
    rows, found = run(folder, tmp_path / "store", least=2)
    assert rows == 0
    assert found == run(folder, tmp_path / "fresh", least=2)[1]
