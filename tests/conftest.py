"""What all tests share: one local Ray for the whole suite, one thread per library, no word from Ray on the screen."""

from __future__ import annotations

import os

os.environ["RAY_AUTH_MODE"] = "disabled"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ.pop("RAY_ADDRESS", None)

import pytest

from pipeline.ray_runtime.session import quiet_environment

quiet_environment()


@pytest.fixture(scope="session")
def local_ray():
    """The suite's Ray: two CPUs, started by the engine's own code; a test that needs another runs it in a process."""
    from pipeline.ray_runtime import session

    session.start(cpus=2, address=None)
    yield
    session.stop()
