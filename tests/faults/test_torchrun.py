"""A training under the real `torchrun`: the bits of one process, also when it starts the group again."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys

import pytest

from stages.training.checkpoint import Saver
from stages.training.worker import train
from tests.stages.training.rows import changed
from tests.stages.training.test_worker import ROOT, assert_same_bits, at, job, result

__all__ = ["job"]  # the fixture

pytestmark = pytest.mark.faults


def torchrun(job, folder, *options, module="stages.training.launch", **variables):
    folder.mkdir()
    (folder / "job.pkl").write_bytes(pickle.dumps(at(job, folder)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *options]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | variables
    subprocess.run(
        [*command, "-m", module, str(folder / "job.pkl")], env=environment, check=True, timeout=300, cwd=ROOT
    )


def test_torchrun_gives_the_bits_of_one_process(job, tmp_path):
    train(at(job, tmp_path / "one"), Saver(str(tmp_path / "one")), 0, 1)
    torchrun(job, tmp_path / "two")
    assert_same_bits(result(tmp_path / "one"), result(tmp_path / "two"))


@pytest.mark.parametrize("killed", ["0", "1"])
def test_torchrun_starts_again_after_a_kill_in_the_middle_of_a_save(job, tmp_path, killed):
    job = changed(job, async_checkpoints="on")
    train(at(job, tmp_path / "one"), Saver(str(tmp_path / "one")), 0, 1)
    module = "tests.stages.training.killed_in_save"
    torchrun(job, tmp_path / "two", "--max-restarts", "1", module=module, KILLED_RANK=killed)
    assert result(tmp_path / "two")["resources"]["resumed_at"] == 3
    assert_same_bits(result(tmp_path / "one"), result(tmp_path / "two"))
