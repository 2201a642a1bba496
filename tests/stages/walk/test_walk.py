"""One store that lasts gives what fresh stores give, whatever changes between two runs: `__main__.py` says what."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stages.walk.recipes import RECIPES

ROOT = Path(__file__).parents[3]


def walk(*arguments: str) -> tuple[int, int]:
    """(steps, those that failed in a fresh store too) of a walk in a process of its own, which no Ray has touched."""
    command = [sys.executable, "-m", "tests.stages.walk", *arguments]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    print(found.stdout)
    assert found.returncode == 0, found.stdout + found.stderr
    told = re.search(r"^(\d+) steps, 0 differ, (\d+) failed in both stores$", found.stdout, re.MULTILINE)
    assert told, found.stdout
    return int(told[1]), int(told[2])


@pytest.mark.long
@pytest.mark.timeout(1500)  # a step of models or of sounds takes 20 CPU seconds
def test_a_store_that_lasts_gives_what_fresh_stores_give():
    steps, failed = walk("--seeds", "1", "--steps", "4")
    assert steps == 4 * len(RECIPES)
    assert failed < 5


@pytest.mark.faults
def test_a_long_walk_of_models():
    steps, failed = walk("--recipe", "judging", "--seeds", "11", "--steps", "8")
    assert steps == 8
    assert failed < 4


@pytest.mark.faults
@pytest.mark.parametrize(
    # a step of sounds loads a model twice, and costs as much as three others
    ("recipe", "each"), [("rules", 35), ("dedup", 35), ("tokens", 35), ("teaching", 35), ("sounds", 12)],
)  # fmt: skip
def test_a_long_walk(recipe, each):
    steps, failed = walk("--recipe", recipe, "--seeds", "11", "12", "--steps", str(each))
    assert steps == 2 * each
    assert failed < 0.3 * steps
