"""What a task is told: its own shards, in a few kilobytes, and the rest when it asks."""

from __future__ import annotations

import json
import pickle

import pytest
from corpus import write_corpus
from nodes import Lines, Long, Twins, Vowels

from pipeline.driver.fanout import pass_work
from pipeline.driver.ledger import Ledger
from pipeline.driver.prepare import digest_sources
from pipeline.errors import DataError
from pipeline.files.objects import LocalStore
from pipeline.graph import build
from pipeline.worker.context import TaskContext

SHARDS = 20_000


@pytest.fixture(scope="module")
def passed(tmp_path_factory):
    """The phases and the work of a pass of three nodes over very many shards, of which there is a manifest only."""
    folder = tmp_path_factory.mktemp("many")
    docs = Lines(paths=write_corpus(folder / "in", files=1, lines=1))
    long = Long(docs=docs)
    graph = build([Twins(docs=Vowels(docs=long))])
    store = LocalStore(str(folder / "store"))
    ledger = Ledger(graph, store)
    digest_sources(ledger, lambda: None)
    shards = [{"key": f"0000-{i:05d}", "rows": 3, "text_bytes": 100, "ext": ".parquet"} for i in range(SHARDS)]
    manifest = {
        "kind": "lines", "fingerprint": ledger.fingerprint(docs), "new_base": "shards", "shards": {"0000": shards},
        "phases": {"shards": ["0000"]}, "base_columns": {"id": "string", "text": "string"},
    }  # fmt: skip
    store.write(f"{ledger.folder(docs)}/manifest.json", json.dumps(manifest).encode())
    joined = [(node, graph.phases(node)[0]) for node in graph.nodes[1:]]
    return pass_work(ledger, joined, lambda node: ledger.binding(node, {}, "", 1), lambda node: {})


def test_what_a_worker_is_told_does_not_grow_with_the_corpus(passed):
    steps, works = passed
    assert len(works) == SHARDS
    assert len(pickle.dumps(steps)) < 20_000
    assert len(pickle.dumps(works[7])) < 2_000


def test_a_task_sees_its_own_shard_and_can_ask_for_the_names_of_all(passed):
    steps, works = passed
    base = works[7].base
    context = TaskContext(steps[0].binding.only(base), "rows", base.shard.name, base.shard)
    names = [shard.name for shard in context.shards()]
    assert len(names) == SHARDS
    assert names[7] == base.shard.name
    assert context.keys("shards", of="docs") == ["0000"]
    assert context.has_column("text")


def test_rows_of_other_shards_are_refused_in_a_per_shard_phase(passed):
    steps, works = passed
    base, other = works[7].base, works[8].base
    context = TaskContext(steps[0].binding.only(base), "rows", base.shard.name, base.shard)
    for shards in (None, [other.shard]):
        with pytest.raises(DataError, match="rows of 'docs' in other shards, in a per-shard phase"):
            context.rows(["text"], shards=shards)
    with pytest.raises(DataError, match="rows of 'docs' in other shards"):
        next(context.column_rows(["text"]))
