"""A run whose store does not answer for a moment keeps its checkpoints, and can be stopped."""

import json
import time
from pathlib import Path

import pytest

from stages.training.checkpoint import PROGRESS, RESULT, STOP, Saver
from stages.training.messenger import Messenger
from stages.training.worker import train
from tests.stages.training.test_worker import job, result

__all__ = ["job"]  # the fixture


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

    with Messenger(Saver(str(tmp_path)), stopping, told.append) as watch:
        assert soon(lambda: len(looks) > 1), "a second look after one that failed"
        progress.unlink()
        progress.write_text(json.dumps({"step": 1}))
        stop.append(1)
        assert soon(lambda: told and watch.files.scratch.exists(STOP))
    assert told == [{"step": 1}]
