"""What all tests share: one local Ray for the whole suite, one thread per library, no word from Ray on the screen."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

os.environ["RAY_AUTH_MODE"] = "disabled"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ.pop("RAY_ADDRESS", None)

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from pipeline.ray_runtime.session import quiet_environment

quiet_environment()

# The same examples in every run, so that a failure is a change's own; `--hypothesis-profile explore` draws new ones.
# Without deadlines: a busy machine is no counterexample.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=1000, deadline=None)
settings.load_profile("same")


# They take a minute or more and begin first, the longest before the others, so that no process is the last by far.
LONG = (
    "demo", "stages/training/test_ray_training", "recipes/test_objective_recipes", "clusters/test_slurm", "faults/",
    "siftloom/test_submit", "siftloom/test_compare", "recipes/", "pipeline/driver/", "test_docs",
)  # fmt: skip


def group_of(nodeid: str) -> str:
    """The tests that one process of `pytest -n` runs: those of a file, whose fixtures are made once; and all files that
    look at the finished demo, which takes minutes. Each process has a Ray of its own.
    """
    file = nodeid.partition("::")[0]
    return "demo" if file.rpartition("/")[2].startswith("test_demo") else file


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        group = group_of(item.nodeid).removeprefix("tests/")
        return next((i for i, name in enumerate(LONG) if group.startswith(name)), len(LONG))

    items.sort(key=place)


# pytest-xdist's own groups (`--dist loadgroup`) add to the id of a test, which pytest 9.2 made read-only: they divide
# nothing any more and say no word.
class ByGroup(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """`-n logical`: one process more than there are CPUs, since tests of whole runs wait for Ray much of their time."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByGroup:
    return ByGroup(config, log)


@pytest.fixture(autouse=True)
def _own_code():
    """A file of code that an earlier test has edited is none that this process holds: no run here is refused for it."""
    drift = sys.modules.get("pipeline.driver.drift")
    if drift is not None:
        drift.begin_anew()


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


@pytest.fixture
def small_disk(tmp_path):
    """A function that mounts a file system of so many megabytes and returns its folder: for real full disks."""
    places = []

    def mount(megabytes, *more):
        place = tmp_path / f"disk-{len(places)}"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", ",".join([f"size={megabytes}m", *more]), "tmpfs", str(place)]
        mounted = subprocess.run(command, capture_output=True)
        if mounted.returncode:
            pytest.skip(f"cannot mount a small file system: {mounted.stderr.decode().strip()}")
        places.append(place)
        return place

    yield mount
    for place in places:
        subprocess.run(["umount", "-l", str(place)], check=True)
