"""A machine that is about to go: a checkpoint outside the rhythm, and the rest of the run on what is left."""

import dataclasses
import json
import os
import pickle
import subprocess
import sys

import pytest

from stages.training.checkpoint import FolderSaver
from stages.training.worker import train
from tests.stages.training.test_worker import ROOT, assert_same_bits, at, job, result

__all__ = ["job"]  # the fixture


@pytest.mark.faults
def test_the_run_is_saved_before_the_machine_goes_and_ends_with_one_worker(job, tmp_path):
    job = dataclasses.replace(job, steps=4000, checkpoint_every=10_000, log_interval=1)  # not over before the news
    broken = at(job, tmp_path / "broken")
    (tmp_path / "job.pkl").write_bytes(pickle.dumps(broken))
    command = [sys.executable, "-m", "tests.stages.training.reclaimed_machine", str(tmp_path / "job.pkl")]
    env = os.environ | {"PYTHONPATH": str(ROOT), "RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": "0.5"}
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    resources = result(tmp_path / "broken")["resources"]
    assert resources["workers"] == 1
    assert resources["resumed_at"] >= json.loads(done.stdout.splitlines()[-1])["step"]
    train(at(job, tmp_path / "plain"), FolderSaver(str(tmp_path / "plain")), 0, 1)
    assert_same_bits(result(tmp_path / "plain"), result(tmp_path / "broken"))
