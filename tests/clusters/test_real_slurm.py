"""`sbatch clusters/slurm.sh` on a Slurm of two machines: its own daemons, its own requeue, its own signals."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.clusters.hosts import RAY, ROOT, Host, hosts, missing

DAEMONS = ("slurmctld", "slurmd", "munged", "sbatch")
ABSENT = [tool for tool in DAEMONS if shutil.which(tool, path="/usr/sbin:/usr/bin") is None]
REASON = missing() or (
    f"no {ABSENT[0]} on this machine (Debian: slurmctld slurmd slurm-client munge)" if ABSENT else ""
)
pytestmark = [pytest.mark.clusters, pytest.mark.timeout(2400), pytest.mark.skipif(bool(REASON), reason=REASON)]
CONF = """
ClusterName=siftloom
SlurmctldHost={head}({address})
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CryptoType=crypto/munge
StateSaveLocation=/tmp/slurmctld
SlurmdSpoolDir=/tmp/slurmd
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile=/tmp/slurmctld.log
SlurmdLogFile=/tmp/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class Slurm:
    """Slurm on hosts that share a folder; jobs are sent from the first one."""

    def __init__(self, made: list[Host], shared: Path) -> None:
        self.head, self.shared = made[0], shared
        self.environment = {"SLURM_CONF": str(shared / "slurm.conf"), **RAY}
        key, cpus = shared / "munge.key", os.cpu_count() or 1
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        nodes = "\n".join(f"NodeName={host.name} NodeAddr={host.address} CPUs={cpus} State=UNKNOWN" for host in made)
        (shared / "slurm.conf").write_text(CONF.format(head=self.head.name, address=self.head.address, nodes=nodes))
        (shared / "cgroup.conf").write_text("CgroupPlugin=disabled\n")  # Slurm's own for tests without control groups
        for host in made:
            host.run("sh", "-c", f"mkdir -p -m 755 /run/munge /tmp/slurmctld /tmp/slurmd; cp {key} /run/munge.key")
            files = [f"--{what}-file=/run/munge/{what}" for what in ("log", "pid", "seed")]
            host.run("munged", "--force", "--key-file=/run/munge.key", *files, PATH=PATH)
        self._daemon(self.head, "slurmctld")
        for host in made:
            self._daemon(host, "slurmd", "-N", host.name)

    def _daemon(self, host: Host, *words: str) -> None:
        host.run(words[0], "-f", self.environment["SLURM_CONF"], *words[1:], PATH=PATH)
        host.run("pgrep", "-x", words[0])

    def ask(self, *words: str) -> str:
        return self.head.run(*words, **self.environment)

    def submit(self, recipe: str) -> str:
        """Put a run into the queue; return the job's number."""
        options = ("--parsable", "--cpus-per-task=1", "--time=1:00:00", f"--output={self.shared}/log")
        said = self.ask("sbatch", *options, "clusters/slurm.sh", recipe, "--store", f"{self.shared}/runs")
        return said.strip()

    def log(self) -> str:
        path = self.shared / "log"
        return path.read_text() if path.exists() else ""

    def wait(self, job: str, words: str, seconds: float = 1500) -> None:
        """Return when the job's log says so. The wait of a job that came back is cut short."""
        end = time.monotonic() + seconds
        while words not in self.log():
            state = self.ask("scontrol", "show", "job", job)
            assert time.monotonic() < end, (words, self.log()[-3000:], state)
            assert "JobState=FAILED" not in state, self.log()[-3000:]
            if "Reason=BeginTime" in state:
                self.ask("scontrol", "update", f"JobId={job}", "StartTime=now")
            time.sleep(1)


PATH = f"/usr/sbin:/usr/bin:{os.environ['PATH']}"


@contextmanager
def slurm() -> Iterator[Slurm]:
    shared = Path(tempfile.mkdtemp(prefix="sl-", dir="/var/tmp"))
    try:
        with hosts(2) as made:
            yield Slurm(made, shared)
    finally:
        shutil.rmtree(shared)


def test_a_job_of_two_machines_comes_back_after_every_signal_and_ends():
    """USR1 reaches it as its time ends: while it starts, in a later second of that, and in the midst of the run."""
    with slurm() as queue:
        job = queue.submit(str(ROOT / "tests" / "clusters" / "cluster.yaml"))
        for number, moment in enumerate((0.0, 3.0, 20.0), 1):
            end = time.monotonic() + 300
            while "JobState=RUNNING" not in (state := queue.ask("scontrol", "show", "job", job)):
                assert time.monotonic() < end, (state, queue.log()[-3000:])
                if "Reason=BeginTime" in state:
                    queue.ask("scontrol", "update", f"JobId={job}", "StartTime=now")
                time.sleep(0.2)
            time.sleep(moment)
            queue.ask("scancel", "--signal=USR1", "--batch", job)
            end = time.monotonic() + 300
            while queue.log().count("back into the queue") < number:
                assert time.monotonic() < end, (moment, queue.log()[-3000:])
                time.sleep(0.5)
        queue.wait(job, "cluster is finished")
        done = {path.parent.name.partition("-")[0] for path in (queue.shared / "runs").glob("nodes/*/manifest.json")}
        assert {"read", "pretrain", "evaluate"} <= done
