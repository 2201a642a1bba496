"""Parts of Ray die in the middle of a run: a raylet of another machine or the driver's own, and Ray's helper actors."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from corpus import bytes_of, write_corpus
from drive import finish, start

pytestmark = pytest.mark.faults

# The node in whose middle it happens: one of a pass, and a keyed one whose tasks are of all shards.
PAUSED = {"long": {"long": {"pause": 0.5}, "vowels": {"pause": 0.5}}, "twins": {"twins": {"pause": 0.5}}}
RECEIPTS = {"long": 2, "twins": 9}  # of eight of its pass
QUICK = {"RAY_health_check_period_ms": "500", "RAY_health_check_failure_threshold": "3"}
LOCAL = r"Ray on this machine: its raylet \(process \d+\) has died; expected a Ray that answers. Next: run again: .*"
JOINED = r"Ray at \S+: the raylet that this driver works through .* Next: start it again \(ray start --address .*"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> tuple[str, ...]:
    return write_corpus(tmp_path_factory.mktemp("in"), files=8, lines=60)


@pytest.fixture(scope="module")
def unbroken(corpus, tmp_path_factory) -> dict[str, str]:
    store = tmp_path_factory.mktemp("unbroken")
    finish(start(store=store, paths=corpus, cpus=2))
    return bytes_of(store)


@contextmanager
def cluster() -> Iterator[Any]:
    """A head without a CPU and two machines of one."""
    from ray.cluster_utils import Cluster

    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as folder, pytest.MonkeyPatch.context() as patch:
        for name, value in QUICK.items():
            patch.setenv(name, value)
        size = {"object_store_memory": 150_000_000}
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "temp_dir": f"{folder}/ray", **size})
        try:
            made.others = [made.add_node(num_cpus=1, **size) for _ in range(2)]
            made.wait_for_nodes()
            yield made
        finally:
            made.shutdown()


@contextmanager
def in_the_middle(label: str, store: Path, paths: tuple[str, ...], **wish: Any) -> Iterator[subprocess.Popen[str]]:
    """Yield a driver that has done some of a node."""
    driver = start(store=store, paths=paths, changed=PAUSED[label], lines=True, **wish)
    try:
        while len(list(store.glob(f"nodes/{label}-*/receipts/**/*.json"))) < RECEIPTS[label]:
            assert driver.poll() is None, driver.communicate()
            time.sleep(0.05)
        yield driver
    finally:
        driver.kill()


def errors_of(said: str) -> list[str]:
    """The errors of what a driver printed, which is lines of progress else."""
    assert "Traceback" not in said
    assert '  File "' not in said
    assert "failed in" not in said
    return re.findall(r"^(?:UserE|e)rror: (.*)$", said, re.MULTILINE)


@pytest.mark.parametrize("label", PAUSED)
def test_the_death_of_another_machine_costs_its_work_only(corpus, unbroken, tmp_path, label):
    with cluster() as ray, in_the_middle(label, tmp_path / "store", corpus, address=ray.address, cpus=2) as driver:
        ray.remove_node(ray.others[0], allow_graceful=False)
        said = finish(driver)
    assert errors_of(said) == []
    assert bytes_of(tmp_path / "store") == unbroken


@pytest.mark.parametrize("label", PAUSED)
def test_the_death_of_a_local_raylet_is_one_error_and_the_same_command_goes_on(corpus, unbroken, tmp_path, label):
    with in_the_middle(label, tmp_path / "store", corpus, cpus=2) as driver:
        (raylet,) = [each for each in psutil.Process(driver.pid).children() if each.name() == "raylet"]
        raylet.kill()
        (error,) = errors_of(finish(driver, 1))
    assert re.fullmatch(LOCAL, error)
    finish(start(store=tmp_path / "store", paths=corpus, cpus=2))
    assert bytes_of(tmp_path / "store") == unbroken


def test_the_death_of_the_raylet_that_a_driver_joined_through_is_one_error(corpus, tmp_path):
    with cluster() as ray, in_the_middle("long", tmp_path / "store", corpus, address=ray.address, cpus=2) as driver:
        ray.head_node.all_processes["raylet"][0].process.kill()
        (error,) = errors_of(finish(driver, 1))
    assert re.fullmatch(JOINED, error)


@pytest.mark.parametrize("name", ["_StatsActor", "_AutoscalingCoordinatorActor"])
def test_a_killed_helper_of_ray_data_costs_one_line_at_most(corpus, unbroken, tmp_path, name):
    with in_the_middle("long", tmp_path / "store", corpus, cpus=2) as driver:
        helpers: list[psutil.Process] = []
        while not helpers:  # it may come up after the first shards on a busy machine
            assert driver.poll() is None, driver.communicate()
            for each in psutil.Process(driver.pid).children(recursive=True):
                with suppress(psutil.Error):  # it ends while others are looked at
                    if " ".join(each.cmdline()).startswith(f"ray::{name}"):
                        helpers.append(each)
        helpers[0].kill()
        said = finish(driver)
    assert errors_of(said) == []
    assert len(re.findall("a helper of Ray has failed", said)) == (name == "_StatsActor")
    assert "Unhandled" not in said
    assert bytes_of(tmp_path / "store") == unbroken
