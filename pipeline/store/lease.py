"""One writer per node.

A lease is a small file `<node>/lease/<turn>.json` that names its owner: host boot, PID namespace, pid, and start time
of the process. Whoever holds the lease with the highest turn holds the node. A lease is stale when this host can tell
that its owner is dead, or when it has run out; then the next turn may be taken. Each turn is taken by an exclusive
create and written by nobody but its owner, so two drivers never take the same one, on a file system or on an object
store.

A heartbeat renews every lease that this driver holds. Before a driver commits, it looks whether its turn is still the
highest: a process that was stopped and went on after its lease went to another learns it there. Tasks are
deterministic, so a lease saves work and never guards bytes.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.errors import LeaseLost
from pipeline.store.objects import Store

LEASE_SECONDS = float(os.environ.get("SIFTLOOM_LEASE_SECONDS", "60"))
TURN_SECONDS = 0.05  # between two looks at a lease that is held for a moment


@dataclass(frozen=True)
class Owner:
    """A driver process, distinct from any other that ever had the same pid."""

    boot: str  # of the host
    space: str  # PID namespace: containers of one host number their processes each for itself
    pid: int
    started: int  # clock ticks since boot
    token: str

    @staticmethod
    def here() -> Owner:
        return Owner(_boot_id(), _pid_space(), os.getpid(), _start_time(os.getpid()) or 0, uuid.uuid4().hex)

    def is_dead(self) -> bool:
        """Return True only where this process can tell: same boot and PID namespace, and no such process."""
        return (self.boot, self.space) == (_boot_id(), _pid_space()) and _start_time(self.pid) != self.started


def _boot_id() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else f"unknown-{uuid.getnode():x}"


def _pid_space() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _start_time(pid: int) -> int | None:
    """Start of a process in clock ticks since boot, None where there is no such process or it is a zombie.

    Without `/proc` every living process has started at 0.
    """
    if not os.path.exists("/proc/self/stat"):
        import psutil

        return 0 if psutil.pid_exists(pid) else None
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


@dataclass(frozen=True)
class Lease:
    """What a lease file says."""

    owner: Owner
    expires: float  # Unix time, seconds

    def content(self) -> bytes:
        return json.dumps({**asdict(self.owner), "expires": self.expires}).encode()

    @staticmethod
    def parse(data: bytes | None) -> Lease | None:
        """The lease, None for what is gone or damaged: that is nobody's."""
        try:
            record = json.loads(data or b"")
            owner = Owner(
                str(record["boot"]), str(record["space"]), int(record["pid"]), int(record["started"]),
                str(record["token"]),
            )  # fmt: skip
            return Lease(owner, float(record["expires"]))
        except (ValueError, TypeError, KeyError):
            return None

    def is_stale(self) -> bool:
        return self.owner.is_dead() or self.expires < time.time()


class Leases:
    """The leases of one driver, renewed by one thread until `close`."""

    def __init__(self, store: Store, seconds: float = LEASE_SECONDS) -> None:
        self.store, self.seconds, self.owner = store, seconds, Owner.here()
        self._held: dict[str, int] = {}  # folder -> turn
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease-heartbeat", daemon=True)
        self._thread.start()

    def acquire(self, folder: str) -> bool:
        """Take the lease of a node folder if it is free or stale. Return whether it is ours now."""
        with self._lock:
            if folder in self._held:
                return True
            turns = self._turns(folder)
            if turns:
                last = Lease.parse(self.store.read(_name(folder, turns[-1])))
                if last is not None and not last.is_stale():
                    return False
            turn = turns[-1] + 1 if turns else 1
            if not self.store.create(_name(folder, turn), self._content()):
                return False
            if self._last(folder) != turn:  # the turns listed above were old: this one had been taken and removed
                self.store.delete(_name(folder, turn))
                return False
            self._held[folder] = turn
            for stale in turns:
                self.store.delete(_name(folder, stale))
            return True

    def holds(self, folder: str) -> bool:
        """Return whether we took the lease and have not learnt that it was lost."""
        return folder in self._held

    @contextlib.contextmanager
    def turn(self, folder: str) -> Iterator[None]:
        """Hold the lease of a folder for a moment; waits for whoever holds it."""
        while not self.acquire(folder):
            time.sleep(TURN_SECONDS)
        try:
            yield
        finally:
            self.release(folder)

    def check(self, folder: str) -> None:
        """Raise `LeaseLost` unless the node is still ours; called before a commit."""
        if folder not in self._held or not self._is_ours(folder):
            self._held.pop(folder, None)
            raise LeaseLost(f"{folder}: another driver took the lease; this one stops writing there")

    def release(self, folder: str) -> None:
        """Give a lease back."""
        with self._lock:
            turn = self._held.pop(folder, None)
            if turn is not None and self._last(folder) == turn:
                self.store.delete(_name(folder, turn))

    def holder(self, folder: str) -> Owner | None:
        """Who holds a node now, None where nobody alive does."""
        turn = self._last(folder)
        found = Lease.parse(self.store.read(_name(folder, turn))) if turn else None
        return None if found is None or found.is_stale() else found.owner

    def close(self) -> None:
        self._closed.set()
        for folder in list(self._held):
            self.release(folder)

    def _content(self) -> bytes:
        return Lease(self.owner, time.time() + self.seconds).content()

    def _turns(self, folder: str) -> list[int]:
        names = (name.removesuffix(".json") for name in self.store.names(f"{folder}/lease"))
        return sorted(int(name) for name in names if name.isdigit())

    def _last(self, folder: str) -> int:
        """The highest turn that was taken, 0 where the node is free."""
        return max(self._turns(folder), default=0)

    def _is_ours(self, folder: str) -> bool:
        return self._last(folder) == self._held.get(folder)

    def _renew(self) -> None:
        while not self._closed.wait(self.seconds / 4):
            with self._lock:
                for folder in list(self._held):
                    # The store may answer again before the lease has run out, so a failure ends nothing.
                    try:
                        # A lease that went to another while we were stopped is not taken back: `check` will say so.
                        if self._is_ours(folder):
                            self.store.write(_name(folder, self._held[folder]), self._content())
                    except Exception:
                        continue


def _name(folder: str, turn: int) -> str:
    return f"{folder}/lease/{turn}.json"
