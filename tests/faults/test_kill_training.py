"""Trainings under the real `torchrun`, and compiled ones: the bits of an unbroken run after SIGKILL."""

from __future__ import annotations

import dataclasses
import os
import pickle
import signal
import subprocess
import sys

import pytest

from stages.training.checkpoint import Saver
from stages.training.worker import train
from tests.stages.training.test_worker import ROOT, assert_same_bits, at, finish, job, result, start

__all__ = ["job"]  # the fixture

pytestmark = pytest.mark.faults


def torchrun(job, folder, module, *options):
    folder.mkdir()
    (folder / "job.pkl").write_bytes(pickle.dumps(at(job, folder)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *options]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [*command, "-m", module, str(folder / "job.pkl")], env=environment, check=True, timeout=300, cwd=ROOT
    )


@pytest.mark.parametrize("aside", [False, True])
def test_torchrun_restarts_a_killed_group_to_the_bits_of_one_process(job, tmp_path, aside):
    train(at(job, tmp_path / "one"), Saver(str(tmp_path / "one")), 0, 1)
    job = dataclasses.replace(job, save_aside=aside)
    torchrun(job, tmp_path / "two", "tests.stages.training.dies_once", "--max-restarts", "1")
    assert (tmp_path / "two" / "died").exists()
    assert result(tmp_path / "two")["resources"]["resumed_at"] == 3
    assert_same_bits(result(tmp_path / "one"), result(tmp_path / "two"))


def test_a_compiled_run_is_resumed_to_its_own_bits(job, tmp_path):
    job = dataclasses.replace(job, compile=True)
    finish(start(job, tmp_path / "whole"))
    [killed] = start(job, tmp_path / "killed", module="tests.stages.training.killed_in_save")
    assert killed.wait(300) == -signal.SIGKILL
    finish(start(job, tmp_path / "killed"))
    assert result(tmp_path / "killed")["resources"]["resumed_at"] == 3
    assert_same_bits(result(tmp_path / "whole"), result(tmp_path / "killed"))
