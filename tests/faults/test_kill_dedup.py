"""SIGKILL of a worker, and of the driver, in every phase of a near-duplicate search with earlier documents."""

from __future__ import annotations

import json
import random
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import dedup_drive
import pytest
from corpus import bytes_of
from kill import changed, receipted, run_to_the_end, run_until_killed, run_while_a_worker_is_killed

from tests.stages.dedup.planted import document, edited

PHASES = ("keys", "merge", "edges", "components", "keep", "verdict", "rows")
pytestmark = pytest.mark.faults


@dataclass(frozen=True)
class Unbroken:
    folder: Path
    store: Path
    goal: str  # folder of the node that is broken

    def command(self, store: Path) -> list[str]:
        return _command(self.folder, store)

    def without_goal(self, store: Path) -> None:
        """A copy of the store without the node, its earlier documents finished."""
        shutil.copytree(self.store, store)
        shutil.rmtree(store / self.goal)


def _command(folder: Path, store: Path) -> list[str]:
    return [sys.executable, dedup_drive.__file__, json.dumps({"folder": str(folder), "store": str(store)})]


def write_documents(folder: Path) -> None:
    """Old and new documents, new ones that resemble old ones and each other, in several files."""
    chance = random.Random(5)
    folder.mkdir(parents=True)
    old = [document(chance, 60) for _ in range(200)]
    new = [edited(words, chance, 2) for words in old[:60]] + [document(chance, 60) for _ in range(120)]
    new += [edited(words, chance, 1) for words in new[60:100]]
    for name, documents in (("old", old), ("new", new)):
        for part in range(4):
            lines = [json.dumps({"text": " ".join(words)}) + "\n" for words in documents[part::4]]
            (folder / f"{name}-{part}.jsonl").write_text("".join(lines))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Unbroken:
    folder = tmp_path_factory.mktemp("dedup")
    write_documents(folder / "in")
    printed = run_to_the_end(_command(folder / "in", folder / "store")).splitlines()
    [said] = [json.loads(line) for line in printed if line.startswith("{")]
    assert said["removed"] >= 70
    goal = folder / "store" / said["folder"]
    assert {path.name for path in (goal / "receipts").iterdir()} == set(PHASES)
    assert len(list((goal / "receipts/edges").iterdir())) == 3
    return Unbroken(folder / "in", folder / "store", said["folder"])


@pytest.mark.parametrize("phase", PHASES)
def test_a_worker_killed_in_a_phase_changes_no_byte(unbroken, tmp_path, phase):
    unbroken.without_goal(tmp_path / "store")
    kill = f"{unbroken.goal}/{phase}:before-receipt"
    run_while_a_worker_is_killed(unbroken.command(tmp_path / "store"), kill, tmp_path / "killed")
    assert bytes_of(tmp_path / "store") == bytes_of(unbroken.store)


@pytest.mark.parametrize("moment", ["before-receipt", "after-receipt"])
def test_a_driver_killed_in_every_phase_goes_on_to_the_same_bytes(unbroken, tmp_path, moment):
    store = tmp_path / "store"
    unbroken.without_goal(store)
    before = receipted(store)
    for phase in PHASES:
        run_until_killed(unbroken.command(store), f"{unbroken.goal}/{phase}:{moment}", tmp_path / f"killed-{phase}")
        assert changed(before, store) == set(), phase
        before = receipted(store)
    run_to_the_end(unbroken.command(store))
    assert changed(before, store) == set()
    assert bytes_of(store) == bytes_of(unbroken.store)
