"""SIGKILL of an actor that scores documents, and of the driver with all it started: equal scores, no piece twice."""

from __future__ import annotations

import json
import random
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from corpus import bytes_of
from kill import changed, receipted, run_to_the_end, run_until_killed, run_while_a_worker_is_killed

from pipeline.run import open_run

RECIPE = Path(__file__).parent / "scores.yaml"
WORDS = "tide moon harbour salt rope lantern gull anchor mist kelp oar rhythm of and the".split()
FILES, DOCUMENTS = 2, 60
pytestmark = pytest.mark.faults


@dataclass(frozen=True)
class Unbroken:
    recipe: Path
    store: Path
    goal: str  # folder of the node that is broken

    def command(self, store: Path) -> list[str]:
        return [sys.executable, "-m", "siftloom", "run", str(self.recipe), "--store", str(store), "--cpus", "2"]

    def without_goal(self, store: Path) -> None:
        """A copy of the store without the scores, the proxies finished."""
        shutil.copytree(self.store, store)
        shutil.rmtree(store / self.goal)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Unbroken:
    folder = tmp_path_factory.mktemp("scores")
    draw = random.Random(0)
    (folder / "docs").mkdir()
    for name in range(FILES):
        texts = [" ".join(draw.choices(WORDS, k=draw.choice([3, 20, 90]))) for _ in range(DOCUMENTS)]
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        (folder / f"docs/{name}.jsonl").write_text(lines)
    shutil.copy(RECIPE, folder)
    made = Unbroken(folder / RECIPE.name, folder / "store", "")
    run_to_the_end(made.command(made.store))
    scored = open_run(str(made.store), "scores")["scored"]
    values = scored.rows(["ref_loss"])["ref_loss"].to_pylist()
    assert len(values) == FILES * DOCUMENTS
    assert len(set(values)) > FILES * DOCUMENTS // 2
    return Unbroken(made.recipe, made.store, scored.folder)


@pytest.mark.parametrize("moment", ["after-piece:3", "before-receipt"])
def test_a_killed_actor_changes_no_score(unbroken, tmp_path, moment):
    store = tmp_path / "store"
    unbroken.without_goal(store)
    run_while_a_worker_is_killed(unbroken.command(store), f"{unbroken.goal}:{moment}", tmp_path / "killed")
    assert bytes_of(store) == bytes_of(unbroken.store)


def test_a_driver_killed_again_and_again_scores_no_piece_twice(unbroken, tmp_path):
    store = tmp_path / "store"
    unbroken.without_goal(store)
    before: dict[str, int] = {}
    for number, least in enumerate([2, 2, 3]):
        kill = f"{unbroken.goal}:after-piece:{least}"
        run_until_killed(unbroken.command(store), kill, tmp_path / f"killed-{number}")
        now = pieces(store / unbroken.goal)
        # what a run left is there as it was, but for shards that are finished, and the next run went on behind it
        assert all(now[name] == time for name, time in before.items() if name in now)
        finished = "\n".join(receipted(store))
        assert all(Path(name).parent.name in finished for name in before if name not in now)
        assert set(now) - set(before)
        before = now
    run_until_killed(unbroken.command(store), f"{unbroken.goal}:after-receipt", tmp_path / "killed")
    left = pieces(store / unbroken.goal)
    assert all(left[name] == time for name, time in before.items() if name in left)
    receipts = receipted(store)
    run_to_the_end(unbroken.command(store))
    assert changed(receipts, store) == set()
    assert bytes_of(store) == bytes_of(unbroken.store)


def pieces(goal: Path) -> dict[str, int]:
    """Name -> modification time of every piece of the shards that are not finished."""
    found = (goal / "scratch").rglob("*.arrow")
    return {path.relative_to(goal).as_posix(): path.stat().st_mtime_ns for path in found}
