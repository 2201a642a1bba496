"""The lines of clusters/README.md against `onprem.yaml`, on machines without a default route."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.clusters.hosts import ROOT, Host, hosts, missing

ABSENT = [tool for tool in ("sshd", "ssh", "rsync") if shutil.which(tool, path="/usr/sbin:/usr/bin") is None]
REASON = missing() or (f"no {ABSENT[0]} on this machine" if ABSENT else "")
pytestmark = [pytest.mark.clusters, pytest.mark.timeout(1500), pytest.mark.skipif(bool(REASON), reason=REASON)]
FILE = "/tmp/onprem.yaml"
SLOW = "RAY_agent_register_timeout_ms=900000 RAY_raylet_start_wait_time_s=400 RAY_gcs_server_port_wait_time_s=400"


def edited(head: Host, worker: Host) -> str:
    """The file with all that is marked EDIT filled in, and more patience for a busy machine."""
    text = (ROOT / "clusters" / "onprem.yaml").read_text()
    for old, new in {
        "[10.0.0.2, 10.0.0.3]": f"[{worker.address}]", "10.0.0.1": head.address, "workers: 2": "workers: 1",
        "ssh_user: ubuntu": "ssh_user: root", "/shared/siftloom": str(ROOT),
        "RAY_AUTH_MODE=token;": f"RAY_AUTH_MODE=token {SLOW};",
        "--object-store-memory=1000000000": "--object-store-memory=150000000",
    }.items():  # fmt: skip
        assert old in text, old
        text = text.replace(old, new)
    return text


@contextmanager
def running(host: Host, *words: str, **environment: str) -> Iterator[None]:
    """A command that stays, for as long as the context lasts."""
    process = subprocess.Popen(host.command(words, environment), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def processes(host: Host) -> list[str]:
    """Ray's processes on a host."""
    found = host.run("ps", "-eo", "args").splitlines()
    return [line for line in found if "raylet" in line or "gcs_server" in line]


def test_the_lines_of_the_page_start_use_and_stop_a_cluster():
    shared = tempfile.mkdtemp(prefix="sl-", dir="/var/tmp")
    with hosts(3) as (desk, head, worker):
        desk.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/root/.ssh/siftloom_cluster")
        public = desk.run("cat", "/root/.ssh/siftloom_cluster.pub")
        for host in (head, worker):
            host.run("rm", "/root/.ray/auth_token")  # the launcher brings it
            host.serve_ssh(public)
        desk.write(FILE, edited(head, worker))
        local = {"RAY_UP_enable_autoscaler_v2": "0"}
        desk.run("ray", "up", "--yes", FILE, seconds=600, **local)
        end, status = time.monotonic() + 600, ""
        while status.count(" node_") + status.count("local.cluster.node") < 2:
            assert time.monotonic() < end, status
            status = desk.run("ray", "exec", FILE, "ray status", **local)
        with running(desk, "ray", "dashboard", FILE, **local):
            wait_for_port(desk, 8265)
            command = (
                "siftloom",
                "submit",
                "tests/clusters/cluster.yaml",
                "rows",
                "--address",
                "http://127.0.0.1:8265",
            )
            said = desk.run(*command, "--store", f"{shared}/runs", "--working-dir", "tests/clusters", seconds=900)
            assert "2 nodes answer; versions agree" in said
        assert len(list(Path(shared, "runs", "nodes").glob("pack-*/manifest.json"))) == 1
        desk.run("ray", "down", "--yes", FILE, **local)
        worker.run("ray", "stop")
        assert processes(head) == processes(worker) == []
    shutil.rmtree(shared)


def wait_for_port(host: Host, port: int) -> None:
    """Return when something listens there."""
    question = f"import socket; socket.create_connection(('127.0.0.1', {port}), 1)"
    end = time.monotonic() + 60
    while subprocess.run(host.command(["python", "-c", question], {}), capture_output=True).returncode:
        assert time.monotonic() < end
