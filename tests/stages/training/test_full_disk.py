"""A training on a disk that is full, for real: a small file system of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.errors import DiskFull
from stages.training.checkpoint import RESULT, Saver
from stages.training.one_process import run_alone
from tests.stages.training.test_worker import at, job

__all__ = ["job"]  # the fixture


@pytest.fixture
def disk(small_disk):
    return small_disk(40)


def test_a_full_disk_is_named_and_the_run_goes_on_when_there_is_room(job, disk):
    filler = Path(disk, "filler")
    # there is room for the log, and for the beginning of a checkpoint
    filler.write_bytes(bytes(shutil.disk_usage(disk).free - (100 << 10)))
    scratch = str(disk / "scratch")
    with pytest.raises(DiskFull, match="no space left for a checkpoint"):
        run_alone(at(job, scratch))
    assert "no space left for a checkpoint; expected room for two checkpoints" in str(Saver(scratch).error())
    filler.unlink()
    run_alone(at(job, scratch))
    assert Saver(scratch).scratch.exists(RESULT)
