"""Checkpoints when the disk is in trouble: what cannot be read now is kept, and a full disk is named."""

import json
import pickle
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stages.training.checkpoint import PROGRESS, RESULT, STOP, Saver
from stages.training.ray_trainer import Watch
from stages.training.worker import train
from tests.stages.training.test_worker import ROOT, at, job, result

__all__ = ["job"]  # the fixture

FULL = "tests.stages.training.full_disk"


def test_a_checkpoint_that_cannot_be_read_now_is_not_taken_for_a_damaged_one(job, tmp_path):
    train(job, Saver(job.scratch), 0, 1)
    saver = Saver(job.scratch)
    saver.scratch.remove(RESULT)
    whole = saver.whole()
    part = Path(job.scratch) / whole[-1] / "part-00000.safetensors"
    part.rename(tmp_path / "kept")
    part.symlink_to(part)  # as a disk or a network in trouble, it answers with an error
    with pytest.raises(OSError, match="symbolic links"):
        train(job, Saver(job.scratch), 0, 1)
    assert saver.whole() == whole
    part.unlink()
    (tmp_path / "kept").rename(part)
    train(job, Saver(job.scratch), 0, 1)
    assert result(Path(job.scratch))["resources"]["resumed_at"] == 9


def soon(holds):
    """Whether it comes to hold."""
    deadline = time.monotonic() + 20
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.05)
    return holds()


def test_a_watch_outlives_a_store_that_does_not_answer(tmp_path):
    """Else nobody could stop the run any more."""
    progress, looks, told, stop = tmp_path / PROGRESS, [], [], []
    progress.symlink_to(progress)

    def stopping():
        looks.append(1)
        return bool(stop)

    with Watch(Saver(str(tmp_path)), stopping, told.append) as watch:
        assert soon(lambda: len(looks) > 1), "a second look after one that failed"
        progress.unlink()
        progress.write_text(json.dumps({"step": 1}))
        stop.append(1)
        assert soon(lambda: told and watch.files.scratch.exists(STOP))
    assert told == [{"step": 1}]


def test_a_full_disk_is_named(job, tmp_path):
    """A real one: a file system of a few pages, in a process of its own."""
    (tmp_path / "job.pkl").write_bytes(pickle.dumps(at(job, tmp_path / "small")))
    (tmp_path / "small").mkdir()
    inside = f"mount -t tmpfs -o size=64k none {tmp_path}/small && exec {sys.executable} -m {FULL} {tmp_path}/job.pkl"
    alone = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    able = shutil.which("unshare") and subprocess.run([*alone, "mount -t tmpfs none /mnt"], capture_output=True)
    if not able or able.returncode:
        pytest.skip("this machine lets nobody mount a file system of their own")
    done = subprocess.run([*alone, inside], cwd=ROOT, capture_output=True, text=True)
    assert "no space left for a checkpoint; expected room for two checkpoints" in done.stdout, done.stderr[-2000:]
