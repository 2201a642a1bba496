"""SIGKILL of a driver and all it started while a language model gives vectors, writes and judges, and among rounds."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from corpus import bytes_of
from kill import changed, receipted, run_to_the_end, run_until_killed
from server import Server, serving
from small_models import folder_of

RECIPE = """
name: models
nodes:
  docs: {use: read, paths: ["docs/*.jsonl"]}
  folder: {use: model_folder, paths: ["model/*"]}
  vectors: {use: embed, docs: docs, model: folder, width: 32, batch_rows: 4, commit_rows: 8}
  found: {use: train_clusters, docs: vectors, k: 3, rounds: 4}
  topics: {use: cluster, docs: vectors, model: found, drop: [2]}
  distinct: {use: semantic_dedup, docs: vectors, model: found, similarity: 0.9}
  marks: {use: judge, docs: topics, model: {endpoint: {url: "URL", model: m}}, in_flight: 2, commit_rows: 4}
  made: {use: generate, docs: docs, model: folder, prompt: "{text}", max_tokens: 4, batch_rows: 4, commit_rows: 8}
"""
KILLS = (
    "embed-:after-piece:3", "embed-:before-receipt", "train_clusters-:after-receipt:3",
    "train_clusters-:before-manifest", "cluster-:before-receipt", "semantic_dedup-:before-receipt",
    "semantic_dedup-:after-receipt:3", "judge-:after-piece:2", "judge-:before-receipt",
    "generate-:after-piece:2", "generate-:before-receipt",
)  # fmt: skip
pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]  # a run takes a minute on a busy machine


def verdict(asked: dict) -> str:
    return f"Score: {len(asked['messages'][-1]['content']) % 6}"


@dataclass(frozen=True)
class Unbroken:
    folder: Path
    server: Server

    def command(self, store: Path) -> list[str]:
        recipe = str(self.folder / "models.yaml")
        return [sys.executable, "-m", "siftloom", "run", recipe, "--store", str(store), "--cpus", "2"]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Iterator[Unbroken]:
    folder = tmp_path_factory.mktemp("models")
    folder_of(folder / "model")
    (folder / "docs").mkdir()
    for name in "ab":
        lines = [json.dumps({"text": f"the cat {i} sat on the {name}" + " and the dog" * (i % 4)}) for i in range(30)]
        (folder / "docs" / f"{name}.jsonl").write_text("\n".join(lines))
    with serving(verdict) as server:
        (folder / "models.yaml").write_text(RECIPE.replace("URL", server.url))
        made = Unbroken(folder, server)
        run_to_the_end(made.command(folder / "store"))
        yield made


@pytest.mark.parametrize("kill", KILLS)
def test_a_killed_run_goes_on_to_the_same_bytes(unbroken, tmp_path, kill):
    store, asked = tmp_path / "store", len(unbroken.server.asked)
    run_until_killed(unbroken.command(store), kill, tmp_path / "killed")
    before = receipted(store)
    run_to_the_end(unbroken.command(store))
    assert changed(before, store) == set()
    assert bytes_of(store) == bytes_of(unbroken.folder / "store")
    judged = 60 - len(list(_removed(unbroken.folder / "store")))
    # a piece of four rows, and the batches of two in each thread of its one actor, are all that is asked again
    assert judged <= len(unbroken.server.asked) - asked <= judged + 2 * 4


def _removed(store: Path) -> Iterator[str]:
    from pipeline.run import open_run

    yield from open_run(str(store), "models")["topics"].removed(own=True)["id"].to_pylist()


def test_every_node_stands_in_the_report(unbroken):
    page = (unbroken.folder / "store" / "runs" / "models" / "report.html").read_text()
    assert all(f">{name}<" in page for name in ("vectors", "found", "topics", "marks", "made"))
