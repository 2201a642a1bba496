"""A training under the real `torchrun`: the bits of one process."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys

import pytest

from stages.training.checkpoint import Saver
from stages.training.worker import train
from tests.stages.training.test_worker import ROOT, assert_same_bits, at, job, result

__all__ = ["job"]  # the fixture

pytestmark = pytest.mark.faults


def test_torchrun_gives_the_bits_of_one_process(job, tmp_path):
    train(at(job, tmp_path / "one"), Saver(str(tmp_path / "one")), 0, 1)
    folder = tmp_path / "two"
    folder.mkdir()
    (folder / "job.pkl").write_bytes(pickle.dumps(at(job, folder)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "stages.training.launch", str(folder / "job.pkl")]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, env=environment, check=True, timeout=300, cwd=ROOT)
    assert_same_bits(result(tmp_path / "one"), result(folder))
