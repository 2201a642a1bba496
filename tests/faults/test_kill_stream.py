"""Rows that are made while several workers train: what a pass, a kill and another number of workers leave true."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from tests.stages.training.test_worker import ROOT
from tests.stages.training.toys.noted import noted

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]  # a group of two takes minutes to start on a busy machine
BATCH, STEPS = 4, 20


def drive(folder, **asked):
    """Run the driver; what was seen, by step: the lines of the processes of its last try."""
    asked = {"folder": str(folder), "cpus": 3, "steps": STEPS, **asked}
    command = [sys.executable, "-m", "tests.stages.training.streamed", json.dumps(asked)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, env=environment, cwd=ROOT, check=True, timeout=900)
    steps = json.loads((Path((folder / "place").read_text()) / "config.json").read_text())["steps"]
    assert steps == STEPS
    return noted(folder / "seen")


def numbers_of(lines):
    return [number for line in lines for number in line["rows"]]


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """The rows of one pass, in order, from a run of one worker."""
    numbers = numbers_of(drive(tmp_path_factory.mktemp("one"), tries=[1]))
    end = next(i for i, (a, b) in enumerate(pairwise(numbers), 1) if b < a)
    return numbers[:end]


def test_two_workers_share_a_pass_and_each_sees_its_rows_in_order(one, tmp_path):
    lines = drive(tmp_path, tries=[2])
    steps = [numbers_of(line for line in lines if line["step"] == step) for step in range(STEPS)]
    assert {len(rows) for rows in steps} == {BATCH}
    first, passes = Counter(), []
    for rows in steps:
        if first.keys() & set(rows):
            passes.append(first)
            first = Counter()
        first.update(rows)
    assert passes
    for whole in passes:
        assert set(whole.values()) == {1}
        assert len(set(one) - set(whole)) < BATCH
    for process in {line["process"] for line in lines}:
        mine = [line["rows"] for line in lines if line["process"] == process]
        ends = [b[0] < a[-1] for a, b in pairwise(mine)]
        assert sum(ends) == len(passes)
        assert all(rows == sorted(rows) for rows in mine)


@pytest.mark.parametrize(("tries", "fields"), [([2], {}), ([2, 1], {"max_failures": 0}), ([1, 2], {"max_failures": 0})])
def test_after_a_kill_no_row_of_the_pass_is_left_out(one, tmp_path, tries, fields):
    lines = drive(tmp_path, tries=tries, dies_at=6, **fields)
    assert (tmp_path / "seen" / "dead").exists()
    assert (tmp_path / f"failed-{tries[0]}").exists() == (len(tries) == 2)
    first_try = {line["process"] for line in lines if line["step"] == 0}
    kept = [line for line in lines if (line["process"] in first_try) == (line["step"] < 3)]
    resumed = [line for line in lines if line["process"] not in first_try]
    assert min(line["step"] for line in resumed) == 3
    steps = [numbers_of(line for line in kept if line["step"] == step) for step in range(STEPS)]
    assert {len(rows) for rows in steps} == {BATCH}
    before = set(numbers_of(line for line in kept if line["step"] < 3))
    seen, repeated = set(before), 0
    for rows in steps[3:]:
        if set(rows) <= seen and min(rows) < min(steps[3]):
            break  # the next pass
        repeated += len(set(rows) & before)
        seen |= set(rows)
    assert len(set(one) - seen) < BATCH
    assert repeated < len(before)
