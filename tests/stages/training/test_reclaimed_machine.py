"""A machine that is about to go: a checkpoint outside the rhythm, and the rest of the run on what is left."""

import json
import os
import pickle
import subprocess
import sys

import pytest

from stages.training.checkpoint import Saver
from stages.training.ray_trainer import START_TIMEOUT, WATCHER, settings
from stages.training.worker import train
from tests.stages.training.rows import changed
from tests.stages.training.test_worker import ROOT, assert_same_bits, at, job, result

__all__ = ["job"]  # the fixture


def test_what_one_run_sets_is_not_left_to_the_next(monkeypatch):
    """In one driver: a fixed size on one machine, a pair there, a pair and a fixed size on two machines."""
    for name in (WATCHER, START_TIMEOUT):
        monkeypatch.setenv(name, "of another run")
    monkeypatch.setattr("stages.training.ray_trainer.GIVEN", {WATCHER: None, START_TIMEOUT: "3600"})

    def after(workers, machines):
        settings(workers, machines)
        return os.environ.get(WATCHER), os.environ.get(START_TIMEOUT)

    assert after(2, machines=1) == ("0", "3600")
    assert after((1, 2), machines=1) == ("0", "30")
    assert after((1, 2), machines=2) == (None, "30")
    assert after(2, machines=2) == (None, "3600")


@pytest.mark.faults
def test_the_run_is_saved_before_the_machine_goes_and_ends_with_one_worker(job, tmp_path):
    job = changed(job, steps=4000, checkpoint_every=10_000, log_interval=1)  # not over before the news
    broken = at(job, tmp_path / "broken")
    (tmp_path / "job.pkl").write_bytes(pickle.dumps(broken))
    command = [sys.executable, "-m", "tests.stages.training.reclaimed_machine", str(tmp_path / "job.pkl")]
    env = os.environ | {"PYTHONPATH": str(ROOT), "RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": "0.5"}
    env.pop(WATCHER, None)  # trainings of this process, whose Ray is one machine, are not watched
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    resources = result(tmp_path / "broken")["resources"]
    assert resources["workers"] == 1
    assert resources["resumed_at"] >= json.loads(done.stdout.splitlines()[-1])["step"]
    train(at(job, tmp_path / "plain"), Saver(str(tmp_path / "plain")), 0, 1)
    assert_same_bits(result(tmp_path / "plain"), result(tmp_path / "broken"))
