"""What all tests share: one local Ray for the whole suite, one thread per library, no word from Ray on the screen."""

from __future__ import annotations

import os

os.environ["RAY_AUTH_MODE"] = "disabled"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ.pop("RAY_ADDRESS", None)

import pytest
from hypothesis import settings

from pipeline.ray_runtime.session import quiet_environment

quiet_environment()

# The same examples in every run, so that a failure is a change's own; `--hypothesis-profile explore` draws new ones.
# Without deadlines: a busy machine is no counterexample.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=1000, deadline=None)
settings.load_profile("same")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a file's tests in one process of `pytest -n`, and all that look at the demo in one: it takes minutes, so it
    begins first and runs once. Each process has a Ray of its own.
    """
    for item in items:
        shared = "demo" if "demo" in getattr(item, "fixturenames", ()) else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(shared))
    items.sort(key=lambda item: "demo" not in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def local_ray():
    """The suite's Ray: two CPUs, started by the engine's own code; a test that needs another runs it in a process."""
    from pipeline.ray_runtime import session

    session.start(cpus=2, address=None)
    yield
    session.stop()


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """One Chromium for the tests of pages (`tests.browser`)."""
    from tests.browser import Browser

    opened = Browser(tmp_path_factory.mktemp("profile"))
    try:
        yield opened
    finally:
        opened.close()
