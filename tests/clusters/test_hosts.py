"""A cluster of several machines that share an object store and nothing else: the bytes of one machine."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
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


def copies(host: Host) -> list[str]:
    """Names of the objects that a host keeps copies of."""
    found = host.run("find", "/tmp", "-path", "*/objects/*", "-type", "f", "-size", "+0", "-printf", "%f\\n")
    return sorted(found.split())


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
