"""A compiled training that was killed goes on to its own bits, compiled anew."""

from __future__ import annotations

import shutil

import pytest

from models.presets import Llama
from stages.training.checkpoint import RESULT
from tests.stages.training.rows import changed
from tests.stages.training.test_worker import TINY, assert_same_bits, job, kill_after_first_checkpoint, result, start

__all__ = ["job"]  # the fixture

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(1800),  # each process compiles anew
    pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles for CPUs with a C++ compiler"),
]


def test_killed_and_resumed_gives_the_bits_of_a_compiled_run(job, tmp_path, monkeypatch):
    job = changed(job, compile="on", attend="document", model=Llama("1m", **(TINY | {"layers": 1})))
    for name in ("whole", "broken"):
        # what one has compiled is of no use to the other
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / f"{name}-cache"))
        if name == "broken":
            kill_after_first_checkpoint(job, tmp_path / name, processes=1, seconds=400)
            assert not (tmp_path / name / RESULT).exists()
            shutil.rmtree(tmp_path / f"{name}-cache")
        [process] = start(job, tmp_path / name)
        assert process.wait(400) == 0
        assert list((tmp_path / f"{name}-cache").rglob("*.cpp")), "nothing was compiled"
    assert result(tmp_path / "broken")["resources"]["resumed_at"] > 0
    assert_same_bits(result(tmp_path / "whole"), result(tmp_path / "broken"))
