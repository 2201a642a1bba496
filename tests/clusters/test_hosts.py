"""Clusters of several machines leave the bytes of one: with an object store, with a folder, and where machines die."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.files.open_store import open_store
from tests.clusters.hosts import ROOT, Host, missing, ray_cluster, start_ray
from tests.pipeline import s3

pytestmark = [
    pytest.mark.clusters, pytest.mark.timeout(1500), pytest.mark.skipif(bool(missing()), reason=missing()),
]  # fmt: skip
RECIPE = str(Path(__file__).with_name("cluster.yaml"))


def digests(place: str) -> dict[str, str]:
    """SHA-256 of every file of the nodes but mutable ones."""
    store = open_store(place)
    names = [name for name in store.sizes("nodes") if "/scratch/" not in name]
    return {name: hashlib.sha256(store.read(f"nodes/{name}") or b"").hexdigest() for name in names}


@pytest.fixture(scope="module")
def laptop(tmp_path_factory) -> dict[str, str]:
    """The files of a run on this machine."""
    place = str(tmp_path_factory.mktemp("laptop") / "runs")
    command = [sys.executable, "-m", "siftloom", "run", RECIPE, "--store", place, "-s", "two.workers=1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "RAY_ADDRESS": ""})
    assert done.returncode == 0, (done.stdout[-3000:], done.stderr[-3000:])
    return digests(place)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that all machines see at one path."""
    folder = Path(tempfile.mkdtemp(prefix="sl-", dir="/var/tmp"))
    yield folder
    shutil.rmtree(folder)


@contextmanager
def driver(host: Host, head: Host, *words: str) -> Iterator[subprocess.Popen[str]]:
    """`siftloom` on a host, as a driver of the cluster."""
    command = host.command(["python", "-m", "siftloom", *words], {"RAY_ADDRESS": f"{head.address}:6379"})
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for_line(process: subprocess.Popen[str], words: str) -> None:
    """Read what a driver prints, up to a line with these words."""
    said = []
    assert process.stdout is not None
    for line in process.stdout:
        said.append(line)
        if words in line:
            return
    raise AssertionError((words, "".join(said)[-4000:]))


def at_work(host: Host, what: str) -> bool:
    """Whether Ray runs a worker of this name on a host."""
    return what in host.run("ps", "-eo", "args")


def copies(host: Host) -> list[str]:
    """Names of the objects that a host keeps copies of."""
    found = host.run("find", "/tmp", "-xdev", "-path", "*/objects/*", "-type", "f", "-size", "+0", "-printf", "%f\\n")
    return sorted(found.split())


def test_a_checkout_in_the_folder_for_temporary_files_is_seen_by_every_machine():
    look = "from tests.clusters.hosts import hosts\nwith hosts(1) as (host,): print(host.run('pwd'))"
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        shutil.copytree(ROOT / "tests" / "clusters", Path(folder, "tests", "clusters"))
        Path(folder, "tests", "__init__.py").touch()
        done = subprocess.run([sys.executable, "-c", look], cwd=folder, capture_output=True, text=True)
    assert done.stdout == f"{folder}\n\n", done.stderr


def test_machines_that_share_an_object_store_alone_make_the_bytes_of_one(laptop, monkeypatch):
    pytest.importorskip("moto.server", reason="moto[server] is not installed")
    for name, value in s3.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with (
        ray_cluster(workers=2, environment=s3.CREDENTIALS) as (head, *workers),
        s3.server(head.network.outside) as endpoint,
    ):
        store = s3.bucket(endpoint, "cluster")
        address = {"RAY_ADDRESS": f"{head.address}:6379"}
        head.run("python", "-m", "siftloom", "run", RECIPE, "--store", store, seconds=1200, **address, **s3.CREDENTIALS)
        assert digests(store) == laptop
        # the driver's machine has no tokens, each worker's every file of them once
        packed = [name for name in laptop if name.endswith(".bin")]
        assert [name for name in copies(head) if name.endswith((".bin", ".rows.parquet"))] == []
        for host in workers:
            assert len([name for name in copies(host) if name.endswith(".bin")]) == len(packed)


def test_machines_that_share_a_folder_share_the_work(laptop, shared):
    (shared / "docs").mkdir()
    (shared / "marks").mkdir()
    for number in range(24):
        (shared / "docs" / f"{number:02d}.jsonl").write_text(json.dumps({"text": f"document {number}"}) + "\n")
    (shared / "marked.yaml").write_text(
        json.dumps({"name": "marked", "nodes": {
            "docs": {"use": "read", "paths": [f"{shared}/docs/*.jsonl"]},
            "marked": {"use": "map", "docs": "docs", "fn": "tests.clusters.stages_of_tests:note_machine",
                       "writes": {"letters": "int32"}, "params": {"folder": f"{shared}/marks"}},
        }})
    )  # fmt: skip
    with ray_cluster(workers=2) as (head, *workers):
        address = {"RAY_ADDRESS": f"{head.address}:6379"}
        for recipe in (RECIPE, str(shared / "marked.yaml")):
            head.run("python", "-m", "siftloom", "run", recipe, "--store", f"{shared}/runs", seconds=1200, **address)
        shards = Counter(path.read_text() for path in (shared / "marks").iterdir())
        assert sorted(shards) == sorted(host.name for host in workers)
        assert min(shards.values()) >= 0.3 * 24, shards
    assert {name: digest for name, digest in digests(f"{shared}/runs").items() if name in laptop} == laptop


def test_a_machine_and_then_the_head_die_in_a_training(laptop, shared):
    words = ("run", RECIPE, "--store", f"{shared}/runs")
    with ray_cluster(workers=3) as (head, desk, *others):
        with driver(desk, head, *words) as process:
            while not list((shared / "runs").glob("nodes/pretrain-*/scratch/**/checkpoint.json")):
                assert process.poll() is None, process.communicate()
                time.sleep(0.1)
            victim = next(host for host in others if at_work(host, "RayTrainWorker"))
            victim.close()
            wait_for_line(process, "goes on from")
            head.close()
            said, _ = process.communicate(timeout=600)
            assert process.returncode == 1, said[-4000:]
            assert "head" in said
            assert "Traceback" not in said
        left = [desk, next(host for host in others if host is not victim)]
        for host in left:
            host.run("ray", "stop", "--force")
            start_ray(host, desk, cpus=1)
        desk.run("python", "-m", "siftloom", *words, seconds=1200, RAY_ADDRESS=f"{desk.address}:6379")
    assert digests(f"{shared}/runs") == laptop


def test_a_training_waits_for_a_gpu_with_a_line_and_names_a_torch_that_sees_none():
    with ray_cluster(workers=1) as (head, worker):
        words = ("python", "-m", "siftloom", "run", RECIPE, "two", "--store", "/tmp/runs", "-s", "two.device=cuda")
        address = {"RAY_ADDRESS": f"{head.address}:6379"}
        with subprocess.Popen(
            worker.command(words, address), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as driver:
            assert driver.stdout is not None
            said = []
            for line in driver.stdout:
                said.append(line)
                if "waits for a GPU, and Ray at" in line:
                    start_ray(worker, head, cpus=1, options=["--num-gpus=2"])
        assert driver.returncode == 1, said
        assert any("waits for a GPU" in line for line in said), said
        assert "sees no GPU; expected a torch built for its CUDA" in "".join(said[-5:])
