"""SIGKILL of actors, and of a driver with all it started, in the middle of a pass with a model."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import model_drive
import pytest
from corpus import bytes_of, write_corpus
from kill import run_to_the_end, run_until_killed
from model_nodes import marks_of

ROWS, COMMIT_ROWS = 150, 20
pytestmark = pytest.mark.faults


class Case:
    """A store, the marks of the model that fills it, and the command that does so."""

    def __init__(self, folder: Path, paths: tuple[str, ...]) -> None:
        self.store, self.marks, self.paths = folder / "store", folder / "marks", paths
        self.marks.mkdir(parents=True)

    def command(self, **fields) -> list[str]:
        asked = {"paths": self.paths, "store": str(self.store), "marks": str(self.marks), **fields}
        return [sys.executable, model_drive.__file__, json.dumps(asked)]

    def rows(self) -> int:
        """Return how many rows the model was given in all."""
        return sum(int(count) for _, count, _ in marks_of(str(self.marks), "rows"))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Case:
    folder = tmp_path_factory.mktemp("model")
    case = Case(folder, write_corpus(folder / "in", files=2, lines=ROWS))
    run_to_the_end(case.command())
    return case


@pytest.mark.parametrize("row", [1, 19, 60, 148])
@pytest.mark.parametrize("actors", [(1, 1), (2, 2)])
def test_a_killed_actor_costs_one_piece(unbroken, tmp_path, row, actors):
    case = Case(tmp_path, unbroken.paths)
    run_to_the_end(case.command(dies_at=row, actors=actors))
    assert (case.marks / "dead").exists()
    assert bytes_of(case.store) == bytes_of(unbroken.store)
    assert case.rows() - unbroken.rows() <= COMMIT_ROWS


@pytest.mark.parametrize("piece", [1, 4])
def test_a_killed_driver_costs_a_piece_of_every_actor(unbroken, tmp_path, piece):
    case = Case(tmp_path, unbroken.paths)
    run_until_killed(case.command(), f"sizes-:after-piece:{piece}", tmp_path / "killed")
    before = case.rows()
    assert before < unbroken.rows()
    run_to_the_end(case.command())
    assert bytes_of(case.store) == bytes_of(unbroken.store)
    assert case.rows() - unbroken.rows() <= 2 * COMMIT_ROWS
