"""`siftloom submit` against a head started with `ray start`, with a token and without."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import RECIPE, environment, siftloom, write_documents

BLOCKED = """
  slow: {use: map, docs: plain, fn: "waiting:wait", writes: {seen: bool}}
"""
WAITING = """
import pathlib, time

def wait(table):
    while not pathlib.Path("{flag}").exists():
        time.sleep(0.1)
    return {{"seen": [True] * table.num_rows}}
"""


class Head:
    """A head of one CPU in a process group of its own; `env` is what its clients need."""

    def __init__(self, mode: str, *, counts: bool = False) -> None:
        # the path of a unix socket is short
        self.folder = Path(tempfile.mkdtemp(prefix="sl-", dir="/tmp"))
        ports = free_ports(5)
        self.metrics = f"http://127.0.0.1:{ports[4]}/metrics"
        self.address = f"http://127.0.0.1:{ports[1]}"
        self.env = environment(RAY_AUTH_MODE=mode, HOME=str(self.folder), RAY_ADDRESS="")
        self.env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{self.env['PATH']}"
        self.env |= {"RAY_metrics_report_interval_ms": "500"} if counts else {"RAY_enable_metrics_collection": "0"}
        del self.env["RAY_ADDRESS"]
        if mode == "token":
            token = self.folder / "token"
            token.write_text("0" * 64)
            self.env["RAY_AUTH_TOKEN_PATH"] = str(token)
        command = [
            "ray", "start", "--head", "--block", f"--port={ports[0]}", f"--dashboard-port={ports[1]}",
            f"--dashboard-agent-listen-port={ports[2]}", f"--ray-client-server-port={ports[3]}",
            f"--metrics-export-port={ports[4]}",
            "--dashboard-host=127.0.0.1", "--num-cpus=2", f"--temp-dir={self.folder}/ray", "--disable-usage-stats",
            "--object-store-memory=100000000",
        ]  # fmt: skip
        self.process = subprocess.Popen(
            command, env=self.env, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self.process.stdout is not None
        said = []
        for line in self.process.stdout:
            said.append(line)
            if "--block" in line or "runtime started" in line:
                return
        raise AssertionError("".join(said))

    def close(self) -> None:
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.communicate()
        shutil.rmtree(self.folder, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    """Ports that are free now, outside the range that Ray's workers take theirs from (10002-19999)."""
    sockets = []
    while len(sockets) < count:
        one = socket.socket()
        one.bind(("127.0.0.1", 0))
        if one.getsockname()[1] > 20000:
            sockets.append(one)
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


# A head without a token costs two minutes more and differs in one header.
@pytest.fixture(scope="module", params=["token", pytest.param("disabled", marks=pytest.mark.faults)])
def head(request: pytest.FixtureRequest) -> Iterator[Head]:
    started = Head(request.param)
    yield started
    started.close()


def make_job(folder: Path, store: Path, flag: Path) -> None:
    write_documents(folder / "docs")
    (folder / "waiting.py").write_text(WAITING.format(flag=flag))
    # a module of the user's with the name of one of our packages: neither the job nor its workers may import it
    (folder / "models.py").write_text("raise ImportError('the models.py of the user')\n")
    (folder / "job.yaml").write_text(
        RECIPE.partition("  distinct:")[0].replace("store: kept", f"store: {store}") + BLOCKED
    )


@pytest.mark.long
@pytest.mark.timeout(600)
def test_submit_stop_and_go_on(head: Head, tmp_path: Path) -> None:
    folder, store, flag = tmp_path / "job", tmp_path / "store", tmp_path / "flag"
    make_job(folder, store, flag)
    command = [sys.executable, "-u", "-m", "siftloom", "submit", "job.yaml", "--address", head.address]
    job = None
    with subprocess.Popen(
        command, cwd=folder, env=head.env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            job = job or re.match(r"job +(\S+): python -m siftloom run job.yaml", line)
            if line.startswith("slow: running"):
                stop = [sys.executable, "-m", "ray.scripts.scripts", "job", "stop", "--no-wait", "--address"]
                assert job is not None
                subprocess.run([*stop, head.address, job[1]], env=head.env, check=True, capture_output=True)
                flag.write_text("")
        code = process.wait()
    text = "".join(said)
    assert "nodes answer; versions agree" in text
    assert re.search(r"package +\.: \d+ files", text)
    assert code == 143, text
    assert job is not None
    assert job[1].endswith("-1")

    again = siftloom("submit", "job.yaml", "--address", head.address, cwd=folder, **head.env)
    assert re.search(r"job +\S+-2: ", again.stdout)
    assert re.search(r"\d nodes are reused", again.stdout)
    assert "docs: running" not in again.stdout
    assert "job is finished" in again.stdout or "small is finished" in again.stdout


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_exit_code_is_that_of_the_run(head: Head, tmp_path: Path) -> None:
    if "RAY_AUTH_TOKEN_PATH" not in head.env:
        pytest.skip("shown on the head with a token")
    folder, store = tmp_path / "job", tmp_path / "store"
    make_job(folder, store, tmp_path / "flag")
    (folder / "waiting.py").write_text("def wait(table):\n    raise ValueError('no rows today')\n")
    done = siftloom("submit", "job.yaml", "--address", head.address, cwd=folder, code=1, **head.env)
    assert "slow: failed in" in done.stdout
    assert "no rows today" in done.stdout
    probe = (
        "import sys; from pipeline.ray_runtime.job_server import JobServer; jobs = JobServer(sys.argv[1]); "
        "job = jobs.submit(['python', '-c', 'raise SystemExit(7)'], name='seven', folder='.', metadata={}, env={}); "
        "sys.exit(jobs.follow(job, print))"
    )
    seven = subprocess.run([sys.executable, "-c", probe, head.address], cwd=folder, env=head.env, capture_output=True)
    assert seven.returncode == 7, seven.stderr.decode()


def test_submits_of_one_name_at_once_are_jobs_of_their_own(head: Head, tmp_path: Path) -> None:
    if "RAY_AUTH_TOKEN_PATH" not in head.env:
        pytest.skip("shown on the head with a token")
    probe = (
        "import sys; from concurrent.futures import ThreadPoolExecutor; "
        "from pipeline.ray_runtime.job_server import JobServer; "
        "send = lambda jobs: jobs.submit(['true'], name='same', folder='.', metadata={}, env={}); "
        "print(*sorted(ThreadPoolExecutor(4).map(send, [JobServer(sys.argv[1]) for _ in range(4)])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe, head.address], cwd=tmp_path, env=head.env, capture_output=True, text=True
    )
    assert done.stdout.split() == ["same-1", "same-2", "same-3", "same-4"], done.stderr


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_two_submits_of_one_recipe_at_once_end_in_one_result(head: Head, tmp_path: Path) -> None:
    if "RAY_AUTH_TOKEN_PATH" not in head.env:
        pytest.skip("shown on the head with a token")
    folder, flag = tmp_path / "job", tmp_path / "flag"
    make_job(folder, tmp_path / "store", flag)
    flag.write_text("")
    command = [sys.executable, "-m", "siftloom", "submit", "job.yaml", "--address", head.address]
    both = [
        subprocess.Popen(command, cwd=folder, env=head.env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(2)
    ]
    said = [each.communicate(timeout=500)[0] for each in both]
    assert [each.returncode for each in both] == [0, 0], said
    assert all("small is finished" in text and "Traceback" not in text for text in said), said
    assert sorted(re.search(r"^job +\S+-(\d): ", text, re.M)[1] for text in said) == ["1", "2"], said


@pytest.mark.long
def test_a_store_that_cannot_be_and_a_silent_server_are_named(tmp_path: Path) -> None:
    make_job(tmp_path / "job", tmp_path / "store", tmp_path / "flag")
    done = siftloom("submit", "job.yaml", "--store", "runs", cwd=tmp_path / "job", code=1)
    assert "a relative path for a cluster job" in done.stderr
    done = siftloom("submit", "job.yaml", "--store", "s3://KEY:S3CRET@bucket/runs", cwd=tmp_path / "job", code=1)
    assert "s3://***@bucket/runs: a key in the URI" in done.stderr
    assert "S3CRET" not in done.stderr
    change = "docs.paths=[s3://KEY:S3CRET@bucket/x]"
    done = siftloom("submit", "job.yaml", "--store", "/x", "-s", change, cwd=tmp_path / "job", code=1)
    assert "-s docs.paths=[s3://***@bucket/x]: a key, which the job's command line would show" in done.stderr
    assert "S3CRET" not in done.stderr
    (port,) = free_ports(1)
    done = siftloom("submit", "job.yaml", "--address", f"http://127.0.0.1:{port}", cwd=tmp_path / "job", code=1)
    assert "nothing answers" in done.stderr


def test_a_head_with_a_token_refuses_a_client_without(head: Head, tmp_path: Path) -> None:
    if "RAY_AUTH_TOKEN_PATH" not in head.env:
        pytest.skip("this head asks for no token")
    make_job(tmp_path / "job", tmp_path / "store", tmp_path / "flag")
    env = {**head.env, "RAY_AUTH_MODE": "disabled"}
    done = siftloom("submit", "job.yaml", "--address", head.address, cwd=tmp_path / "job", code=1, **env)
    assert "RAY_AUTH_MODE=token" in done.stderr


def test_a_run_without_an_address_does_not_join_a_cluster_of_this_machine(head: Head, tmp_path: Path) -> None:
    if "RAY_AUTH_TOKEN_PATH" in head.env:
        pytest.skip("shown on the head without a token, which would let it in")
    probe = (
        "from pipeline.ray_runtime import session; session.start(3, None); "
        "import ray; print(ray.cluster_resources()['CPU'])"
    )
    env = {**head.env, "RAY_TMPDIR": str(head.folder)}  # where the head wrote its address
    done = subprocess.run([sys.executable, "-c", probe], env=env, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == "3.0", done.stderr
