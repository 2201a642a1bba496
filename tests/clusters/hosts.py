"""Machines of a network, made of Linux namespaces: each has its own address, processes, folder for temporary files and
home, and sees the checkout under the path that it has everywhere. They share nothing else.

Only root can make them; `missing` says why this machine cannot.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

ROOT = Path(__file__).parents[2]
NET = "10.88.{}.{}"
TOOLS = ("ip", "unshare", "nsenter", "mount")
# What a machine needs of the outer one may lie where it has a folder of its own, so it is brought into that before it
# takes the place.
START = """
mount --make-rprivate /
for folder in /run /dev/shm; do mount -t tmpfs tmpfs $folder; done
hostname {name}
mkdir -m 1777 -p /run/own/tmp
mkdir -m 700 -p /run/own/root/.ray /run/own/root/.ssh /run/sshd
for needed in {needed}; do
  case $needed in /root/* | /tmp/*)
    mkdir -p /run/own$needed
    mount --bind $needed /run/own$needed
  esac
done
for folder in /root /tmp; do mount --rbind /run/own$folder $folder; done
echo {token} > /root/.ray/auth_token
echo ready
sleep infinity &
wait
"""


def missing() -> str:
    """Why no machines can be made here; empty where they can."""
    if os.geteuid() != 0:
        return "only root can make network namespaces"
    if absent := [tool for tool in TOOLS if shutil.which(tool) is None]:
        return f"no {absent[0]} on this machine"
    tried = subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "true"], capture_output=True, text=True)
    return tried.stderr.strip()


class Host:
    """One machine; `close` ends all its processes."""

    def __init__(self, network: Network, number: int) -> None:
        self.network, self.name, self.address = network, f"{network.name}h{number}", network.address(number)
        link = f"{network.name}v{number}"
        ip("netns", "add", self.name)
        ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        ip("link", "set", link, "master", network.name, "up")
        for words in (("link", "set", "lo", "up"), ("addr", "add", f"{self.address}/24", "dev", "eth0"),
                      ("link", "set", "eth0", "up")):  # fmt: skip
            ip("-n", self.name, *words)
        needed = f"{ROOT} {sys.base_prefix}"
        script = START.format(name=self.name, token=network.token, needed=needed)
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", self.name, "unshare", "--mount", "--uts", "--pid", "--fork", "--mount-proc",
             "--kill-child", "bash", "-ec", script],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        self.first = int(children[0])

    def command(self, words: Sequence[str], environment: dict[str, str]) -> list[str]:
        """A command line of the outer machine that runs one on this host."""
        own = {
            "HOME": "/root", "TMPDIR": "/tmp", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "RAY_AUTH_MODE": "token", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore",
        }  # fmt: skip
        values = [f"{name}={value}" for name, value in (own | environment).items()]
        inside = ["nsenter", f"--target={self.first}", "--mount", "--uts", "--pid", "--net"]
        return [*inside, f"--wdns={ROOT}", "env", "-i", *values, *words]

    def run(self, *words: str, seconds: float = 300, given: str = "", **environment: str) -> str:
        """What a command on this host has printed, given some input; it must end well."""
        done = subprocess.run(
            self.command(words, environment), capture_output=True, text=True, timeout=seconds, check=False, input=given
        )
        assert done.returncode == 0, (shlex.join(words), done.returncode, done.stdout[-4000:], done.stderr[-4000:])
        return done.stdout

    def write(self, path: str, text: str) -> None:
        """Make a file that this host's user alone can read."""
        self.run("sh", "-c", f"umask 077; cat > {path}", given=text)

    def serve_ssh(self, key: str) -> None:
        """Let in whoever has the private key of this public one."""
        self.write("/root/.ssh/authorized_keys", key)
        self.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/run/sshd/host_key")
        options = ("UsePAM=no", "StrictModes=no", "HostKey=/run/sshd/host_key", "PidFile=none")
        self.run(
            shutil.which("sshd", path="/usr/sbin:/usr/bin") or "sshd", "-f", "/dev/null", *(f"-o{o}" for o in options)
        )

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        subprocess.run(["ip", "netns", "delete", self.name], check=False)


class Network:
    """A bridge of the outer machine, which has an address on it, and the hosts behind it."""

    def __init__(self) -> None:
        self.name = f"sl{uuid.uuid4().hex[:6]}"
        self.token = uuid.uuid4().hex * 2
        self._subnet = next(n for n in range(1, 255) if not self._is_taken(n))
        self.outside = self.address(254)
        ip("link", "add", self.name, "type", "bridge")
        ip("addr", "add", f"{self.outside}/24", "dev", self.name)
        ip("link", "set", self.name, "up")

    def _is_taken(self, subnet: int) -> bool:
        return NET.format(subnet, 254) in subprocess.run(["ip", "addr"], capture_output=True, text=True).stdout

    def address(self, number: int) -> str:
        return NET.format(self._subnet, number)

    def close(self) -> None:
        ip("link", "delete", self.name)


@contextlib.contextmanager
def hosts(count: int) -> Iterator[list[Host]]:
    """So many machines in a network of their own; nothing of them is left afterwards."""
    with contextlib.ExitStack() as stack:
        network = Network()
        stack.callback(network.close)
        made = []
        for number in range(1, count + 1):
            made.append(Host(network, number))
            stack.callback(made[-1].close)
        yield made


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


RAY = {
    "RAY_agent_register_timeout_ms": "900000", "RAY_raylet_start_wait_time_s": "400",
    "RAY_gcs_server_port_wait_time_s": "400", "RAY_enable_metrics_collection": "0",
}  # fmt: skip


@contextlib.contextmanager
def ray_cluster(
    workers: int, cpus: int = 1, options: Sequence[str] = (), environment: Mapping[str, str] = MappingProxyType({})
) -> Iterator[list[Host]]:
    """A head without CPUs, the first host, and so many workers that have joined it. `environment` is what Ray has of
    each machine: credentials of a store are a machine's own, and no run sends them.
    """
    with hosts(workers + 1) as made:
        for host in made:
            start_ray(host, made[0], cpus=0 if host is made[0] else cpus, options=options, environment=environment)
        end = time.monotonic() + 300
        while len(alive(made[0])) < len(made):
            assert time.monotonic() < end, alive(made[0])
        yield made


def start_ray(
    host: Host,
    head: Host,
    cpus: int,
    options: Sequence[str] = (),
    environment: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Start a node of Ray on a host, which joins the head where it is another one."""
    own, joined = ["--head", "--port=6379", "--include-dashboard=false"], [f"--address={head.address}:6379"]
    where = own if host is head else joined
    host.run(
        "ray", "start", *where, f"--node-ip-address={host.address}", f"--num-cpus={cpus}",
        "--object-store-memory=150000000", "--disable-usage-stats", *options, **RAY, **environment,
    )  # fmt: skip


def alive(head: Host) -> list[str]:
    """Addresses of the nodes that the head knows as alive."""
    question = (
        "import ray, logging; ray.init(address='auto', logging_level=logging.ERROR, log_to_driver=False); "
        "print('nodes', *sorted(n['NodeManagerAddress'] for n in ray.nodes() if n['Alive']))"
    )
    found = head.run("python", "-c", question, RAY_ADDRESS=f"{head.address}:6379", **RAY)
    return found.rpartition("nodes ")[2].split()
