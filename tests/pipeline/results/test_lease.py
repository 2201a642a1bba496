"""Leases: one owner, a dead one replaced at once, a stopped one after its lease, and a zombie that finds out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import ClassVar

import pytest

from pipeline.errors import LeaseLost
from pipeline.files.objects import LocalStore
from pipeline.results.lease import Leases

ROOT = Path(__file__).parents[3]
NODE = "nodes/n-0123456789ab"

HOLDER = """
import sys
sys.path.insert(0, sys.argv[1])
from pipeline.errors import LeaseLost
from pipeline.results.lease import Leases
from pipeline.files.objects import LocalStore
leases = Leases(LocalStore(sys.argv[2]), seconds=float(sys.argv[3]))
print("ready", flush=True)
for line in sys.stdin:
    try:
        print(getattr(leases, line.strip())("nodes/n-0123456789ab"), flush=True)
    except LeaseLost as error:
        print("lost:", error, flush=True)
"""


class Other:
    """Another driver, in a process of its own, that does as it is told."""

    def __init__(self, root: Path, seconds: float = 60) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(ROOT), str(root), str(seconds)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout.readline() == "ready\n"

    def tell(self, what: str) -> None:
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        return self.process.stdout.readline().strip()

    def ask(self, what: str) -> str:
        self.tell(what)
        return self.hear()


@pytest.fixture
def others():
    started: list[Other] = []

    def start(*arguments) -> Other:
        started.append(Other(*arguments))
        return started[-1]

    yield start
    for other in started:
        other.process.kill()
        other.process.communicate()


@pytest.fixture
def make(tmp_path):
    made: list[Leases] = []

    def leases(seconds: float = 60) -> Leases:
        made.append(Leases(LocalStore(str(tmp_path)), seconds))
        return made[-1]

    yield leases
    for each in made:
        each.close()


def lease_file(root: Path) -> Path:
    """The file of the lease that is held."""
    return max((root / NODE / "lease").iterdir(), key=lambda path: int(path.stem))


def wait_until(condition, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


def test_a_live_owner_keeps_others_out_until_it_lets_go(tmp_path, make, others):
    other, leases = others(tmp_path), make()
    assert other.ask("acquire") == "True"
    assert not leases.acquire(NODE)
    assert leases.holder(NODE).pid == other.process.pid
    other.ask("release")
    assert leases.holder(NODE) is None
    assert leases.acquire(NODE)
    assert other.ask("acquire") == "False"


def test_a_dead_owner_is_replaced_at_once(tmp_path, make, others):
    other, leases = others(tmp_path), make()
    other.ask("acquire")
    other.process.kill()
    other.process.wait()
    assert leases.acquire(NODE)
    leases.check(NODE)


def test_an_owner_that_is_a_zombie_process_is_dead(tmp_path, make, others):
    other, leases = others(tmp_path), make()
    other.ask("acquire")
    other.process.kill()
    wait_until(lambda: Path(f"/proc/{other.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z")
    assert leases.acquire(NODE)


def test_a_pid_that_came_round_again_is_another_owner(tmp_path, make):
    leases, later = make(), make()
    assert leases.acquire(NODE)
    record = json.loads((lease_file(tmp_path)).read_text())
    record["started"] -= 1
    (lease_file(tmp_path)).write_text(json.dumps(record))
    assert later.acquire(NODE)


def test_an_owner_of_another_boot_is_awaited(tmp_path, make):
    leases, later = make(), make()
    leases.acquire(NODE)
    path = lease_file(tmp_path)
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"boot": "another", "token": "other"}))
    assert not later.acquire(NODE)
    path.write_text(json.dumps(record | {"boot": "another", "token": "other", "expires": time.time() - 1}))
    assert later.acquire(NODE)


def test_an_owner_in_another_pid_namespace_is_awaited(tmp_path, make):
    """Containers of one host share its boot, and number their processes each for itself."""
    leases, later = make(), make()
    leases.acquire(NODE)
    path = lease_file(tmp_path)
    record = json.loads(path.read_text()) | {"space": "pid:[1]", "pid": 2**22 + 1}
    path.write_text(json.dumps(record))
    assert not later.acquire(NODE)
    path.write_text(json.dumps(record | {"expires": time.time() - 1}))
    assert later.acquire(NODE)


def test_a_failed_renewal_is_tried_again(tmp_path):
    """A store that does not answer for a moment must not cost a living driver its node."""

    class Shaky(LocalStore):
        failures: ClassVar[list[str]] = []

        def write(self, name: str, data: bytes) -> None:
            if len(self.failures) < 2:
                self.failures.append(name)
                raise OSError("the store does not answer")
            super().write(name, data)

    store, told = Shaky(str(tmp_path)), []
    leases = Leases(store, 1.0, told.append)
    leases.acquire(NODE)
    first = json.loads(lease_file(tmp_path).read_text())["expires"]
    wait_until(lambda: json.loads(lease_file(tmp_path).read_text())["expires"] > first)
    assert len(store.failures) == 2
    leases.check(NODE)
    wait_until(lambda: len(told) == 2)
    assert told[0].startswith(f"the lease of {NODE} could not be renewed (the store does not answer); it runs out 1 s")
    assert told[1] == f"the lease of {NODE} is renewed again"
    leases.close()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid": 1}', b"\xff"])
def test_a_damaged_lease_is_nobodys(tmp_path, make, content):
    LocalStore(str(tmp_path)).write(f"{NODE}/lease/1.json", content)
    leases = make()
    assert leases.holder(NODE) is None
    assert leases.acquire(NODE)
    leases.check(NODE)


def test_a_stopped_owner_is_replaced_after_its_lease_and_finds_out(tmp_path, make, others):
    other, leases = others(tmp_path, 1.0), make(1.0)
    other.ask("acquire")
    os.kill(other.process.pid, signal.SIGSTOP)
    assert not leases.acquire(NODE)
    wait_until(lambda: leases.acquire(NODE))
    os.kill(other.process.pid, signal.SIGCONT)
    assert other.ask("check").startswith("lost:")
    other.ask("release")  # what is no longer its own it must not take away
    wait_until(lambda: json.loads((lease_file(tmp_path)).read_text())["expires"] > time.time() + 0.5)
    leases.check(NODE)
    assert other.ask("acquire") == "False"


def test_a_living_owner_keeps_its_lease_for_longer_than_it_lasts(make):
    leases, later = make(1.5), make(1.5)  # renewed four times as often: a busy machine may come late by a second
    leases.acquire(NODE)
    end = time.monotonic() + 4
    while time.monotonic() < end:
        assert not later.acquire(NODE)
        time.sleep(0.02)
    leases.check(NODE)


def test_a_lease_that_was_taken_is_not_renewed_over_its_new_owner(tmp_path, make):
    leases = make(0.2)
    leases.acquire(NODE)
    before = lease_file(tmp_path).read_text()
    (tmp_path / NODE / "lease" / "2.json").write_text(json.dumps(json.loads(before) | {"token": "other"}))
    stamp = (tmp_path / NODE / "lease" / "2.json").stat().st_mtime_ns
    with pytest.raises(LeaseLost):
        wait_until(lambda: leases.check(NODE))
    leases.release(NODE)
    assert (tmp_path / NODE / "lease" / "2.json").stat().st_mtime_ns == stamp


def test_a_check_without_a_lease_is_refused(make):
    with pytest.raises(LeaseLost, match=NODE):
        make().check(NODE)


def test_fifty_race_for_a_dead_owners_lease(tmp_path, make, others):
    other = others(tmp_path)
    other.ask("acquire")
    other.process.kill()
    other.process.wait()
    racers, won = [make() for _ in range(50)], []
    gate = threading.Barrier(50)

    def race(leases: Leases) -> None:
        gate.wait()
        if leases.acquire(NODE):
            won.append(leases)

    threads = [threading.Thread(target=race, args=(leases,)) for leases in racers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    won[0].check(NODE)


def test_processes_race_for_a_dead_owners_lease(tmp_path, others):
    first = others(tmp_path)
    first.ask("acquire")
    first.process.kill()
    first.process.wait()
    racers = [others(tmp_path) for _ in range(8)]
    for racer in racers:
        racer.tell("acquire")
    assert sorted(racer.hear() for racer in racers) == ["False"] * 7 + ["True"]


def test_close_gives_everything_back(make):
    leases = make()
    leases.acquire(NODE)
    leases.acquire("nodes/m")
    leases.close()
    assert make().acquire(NODE)
    assert make().acquire("nodes/m")
