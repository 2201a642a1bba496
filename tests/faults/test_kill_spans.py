"""SIGKILL of the driver and all it started in every phase of `substring_dedup`."""

from __future__ import annotations

import json
import random
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from corpus import bytes_of
from kill import changed, receipted, run_to_the_end, run_until_killed

from tests.stages.dedup.planted import document

RECIPE = """
name: spans
nodes:
  docs: {use: read, paths: ["docs/*.jsonl"]}
  spans: {use: substring_dedup, docs: docs, length: 20}
"""
PHASES = ("keys", "repeats", "windows", "copies", "rows")
pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Unbroken:
    folder: Path

    def command(self, store: Path) -> list[str]:
        recipe = str(self.folder / "spans.yaml")
        return [sys.executable, "-m", "siftloom", "run", recipe, "--store", str(store), "--cpus", "2"]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Unbroken:
    folder = tmp_path_factory.mktemp("spans")
    (folder / "docs").mkdir()
    chance = random.Random(7)
    passages = [document(chance, 60) for _ in range(10)]
    for name in "abcd":
        texts = [[*document(chance, 30), *chance.choice(passages), *document(chance, 30)] for _ in range(30)]
        lines = [json.dumps({"text": " ".join(words)}) + "\n" for words in texts]
        (folder / "docs" / f"{name}.jsonl").write_text("".join(lines))
    (folder / "spans.yaml").write_text(RECIPE)
    made = Unbroken(folder)
    run_to_the_end(made.command(folder / "store"))
    (goal,) = (folder / "store" / "nodes").glob("substring_dedup-*")
    assert {path.name for path in (goal / "receipts").iterdir()} == set(PHASES)
    return made


def test_a_run_that_is_killed_in_every_phase_goes_on_to_the_same_bytes(unbroken, tmp_path):
    store, before = tmp_path / "store", {}
    (goal,) = (unbroken.folder / "store" / "nodes").glob("substring_dedup-*")
    for phase in PHASES:
        kill = f"{goal.relative_to(unbroken.folder / 'store')}/{phase}:before-receipt"
        run_until_killed(unbroken.command(store), kill, tmp_path / f"killed-{phase}")
        assert changed(before, store) == set(), phase
        before = receipted(store)
    run_to_the_end(unbroken.command(store))
    assert changed(before, store) == set()
    assert bytes_of(store) == bytes_of(unbroken.folder / "store")
