"""clusters/slurm.sh with real Ray: its two nodes are two raylets of this host, `srun` and `scontrol` are stand-ins."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "clusters" / "slurm.sh"
SHARDS = 6

# What Slurm does on another host happens here; each call is written down first.
SRUN = """\
#!/usr/bin/env bash
printf '%s\\t' srun "${RAY_AUTH_MODE-}" "${#RAY_AUTH_TOKEN}" "$@" >> "$CALLS"; echo >> "$CALLS"
[[ -z ${REFUSE-} ]] || { echo "srun: error: $REFUSE" >&2; exit 1; }
[[ -z ${HANG-} ]] || exec sleep 600
while [[ $1 == --* ]]; do shift; done
exec "$@"
"""
SCONTROL = """\
#!/usr/bin/env bash
printf '%s\\t' scontrol "$@" >> "$CALLS"; echo >> "$CALLS"
[[ $1 == requeue ]] || printf '%s\\n' ${NODES}
"""
RECIPE = """\
name: gated
nodes:
  docs: {{use: read, paths: ["docs/*.jsonl"]}}
  gated:
    use: map
    docs: docs
    fn: tests.clusters.stages_of_tests:gate
    writes: {{letters: int32}}
    params: {{folder: "{folder}"}}
"""


@dataclass
class Job:
    """A batch job in a folder, started as Slurm would start it."""

    folder: Path
    number: int

    def start(self, *words: str, nodes: str, **more: str) -> subprocess.Popen[str]:
        plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        slurm = {
            "SLURM_JOB_ID": str(self.number), "SLURM_JOB_NODELIST": "node-[a-b]", "SLURM_CPUS_PER_TASK": "1",
            "SIFTLOOM_VENV": str(Path(sys.executable).parents[1]), "SIFTLOOM_HEAD_IP": "127.0.0.1",
        }  # fmt: skip
        ours = {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT),
            "CALLS": str(self.folder / "calls"), "NODES": nodes,
        }  # fmt: skip
        with (self.folder / "log").open("w") as log:
            return subprocess.Popen(
                ["bash", str(SCRIPT), *words],
                cwd=self.folder, env=plain | slurm | ours | more,
                stdout=log, stderr=log, text=True, start_new_session=True,
            )  # fmt: skip

    def calls(self) -> list[list[str]]:
        """What was asked of Slurm since the last look."""
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [line.rstrip("\t").split("\t") for line in lines]

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def processes(self) -> list[psutil.Process]:
        """Those of this job's Ray, known by its folder."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if any(f"/tmp/ray-{self.number}" in word for word in process.cmdline()):
                    found.append(process)
        return found


@pytest.fixture
def job(tmp_path):
    (tmp_path / "bin").mkdir()
    for name, text in {"srun": SRUN, "scontrol": SCONTROL}.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "docs").mkdir()
    for number in range(SHARDS):
        text = json.dumps({"text": f"The river of page {number} is long."}) + "\n"
        (tmp_path / "docs" / f"{number}.jsonl").write_text(text)
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(folder=tmp_path))
    with socket.socket() as probe:
        for port in range(20000 + os.getpid() % 9000, 30000):
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                break
    made = Job(tmp_path, 70000 + port - 20000)
    yield made
    for process in made.processes():
        with contextlib.suppress(psutil.Error):
            process.kill()
    shutil.rmtree(f"/tmp/ray-{made.number}", ignore_errors=True)


def test_the_script_is_bash():
    done = subprocess.run(["bash", "-n", str(SCRIPT)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert os.access(SCRIPT, os.X_OK)


def test_without_a_recipe_it_says_how_it_is_used(job):
    assert job.start(nodes="node-a").wait(60) == 2
    assert "usage: sbatch clusters/slurm.sh" in job.log()
    assert job.calls() == []


def test_a_node_that_does_not_start_ends_the_job_with_its_message(job):
    assert job.start("recipe.yaml", nodes="node-a node-b", REFUSE="node-b is down").wait(120) == 1
    assert "node-b is down" in job.log()
    assert "a step that should have started Ray has ended" in job.log()


@pytest.mark.parametrize(("sent", "goes_back"), [(signal.SIGUSR1, True), (signal.SIGTERM, False)])
def test_a_signal_while_ray_starts_ends_the_job_and_the_end_of_its_time_puts_it_back(job, sent, goes_back):
    script = job.start("recipe.yaml", nodes="node-a", HANG="yes")
    deadline = time.monotonic() + 60
    while not (job.folder / "calls").exists() or "--head" not in (job.folder / "calls").read_text():
        assert script.poll() is None, job.log()
        assert time.monotonic() < deadline, job.log()
    script.send_signal(sent)
    assert script.wait(60) == 143, job.log()
    assert (["scontrol", "requeue", str(job.number)] in job.calls()) == goes_back


@pytest.mark.long
def test_two_nodes_drain_when_the_time_is_up_and_the_next_try_goes_on(job):
    store = job.folder / "store"
    for name in ("reached", "go"):
        os.mkfifo(job.folder / name)
    go = os.open(job.folder / "go", os.O_RDWR)
    script = job.start("recipe.yaml", "--store", str(store), nodes="node-a node-b")
    try:
        reached = os.open(job.folder / "reached", os.O_RDONLY)  # returns when a shard stands at the gate
        script.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + 60
        while not list(store.glob("runs/gated/stop-*")):  # the driver's own note that it was asked to stop
            assert script.poll() is None, job.log()
            assert time.monotonic() < deadline, job.log()
            time.sleep(0.05)
        os.write(go, b"x" * SHARDS)
        assert script.wait(120) == 143, job.log()
    finally:
        os.close(go)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(script.pid, signal.SIGKILL)  # a driver that a failed test left behind
    os.close(reached)

    expand, *both, requeue = job.calls()
    worker, head = sorted(both, key=lambda call: "--head" in call)  # side by side, so either may be written first
    assert expand == ["scontrol", "show", "hostnames", "node-[a-b]"]
    assert requeue == ["scontrol", "requeue", str(job.number)]
    port = 20000 + job.number % 10000
    for call, options in (
        (head, ["--head", "--node-ip-address=127.0.0.1", f"--port={port}", "--include-dashboard=false"]),
        (worker, [f"--address=127.0.0.1:{port}"]),
    ):
        start = call.index("ray")
        assert call[:3] == ["srun", "token", "64"]  # every node has the token, 64 hexadecimal digits
        assert call[start : start + 2 + len(options)] == ["ray", "start", *options]
        assert {"--num-cpus=1", f"--temp-dir=/tmp/ray-{job.number}", "--block"} <= set(call[start:])
    assert {"--nodelist=node-a", "--nodes=1", "--ntasks=1"} <= set(head)
    assert {"--nodelist=node-b", "--nodes=1", "--ntasks=1"} <= set(worker)
    _, left = psutil.wait_procs(job.processes(), timeout=20)
    assert not left, "Ray outlives the job"
    done = len(list(store.glob("nodes/map-*/receipts/*/*.json")))
    assert 0 < done < SHARDS

    for name in ("reached", "go"):
        (job.folder / name).unlink()
    assert job.start("recipe.yaml", "--store", str(store), nodes="node-a").wait(120) == 0, job.log()
    assert [call[0] for call in job.calls()] == ["scontrol", "srun"]  # one node: no workers; done: no requeue
    assert len(list(store.glob("nodes/map-*/receipts/*/*.json"))) == SHARDS
    assert "gated is finished" in job.log()
