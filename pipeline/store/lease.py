"""One writer per node.

A lease is a small file that names its owner by host boot id, pid and process start time, so a dead owner on this host
is known to be dead and replaced at once; an owner elsewhere is replaced when its lease has run out. A heartbeat
renews every lease that this driver holds. Before it commits, a driver reads its lease again: a zombie that woke up
after its lease went to another finds that out there. Tasks are deterministic, so a lease saves work and never guards
bytes.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import LeaseLost
from pipeline.store.objects import LocalStore, Store

LEASE_SECONDS = float(os.environ.get("SIFTLOOM_LEASE_SECONDS", "60"))
TURN_SECONDS = 0.2  # reading and replacing a lease takes milliseconds


@dataclass(frozen=True)
class Owner:
    """A driver process, told apart from any other that ever had the same pid."""

    boot: str
    pid: int
    started: int
    token: str

    @staticmethod
    def here() -> Owner:
        return Owner(_boot_id(), os.getpid(), _start_time(os.getpid()) or 0, uuid.uuid4().hex)

    def is_dead(self) -> bool:
        """True only where this host can tell: same boot, and no process with that pid and start time."""
        return self.boot == _boot_id() and _start_time(self.pid) != self.started


def _boot_id() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else f"unknown-{uuid.getnode():x}"


def _start_time(pid: int) -> int | None:
    """Start of a process in clock ticks since boot, None where there is no such process (or it is a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


class Leases:
    """The leases of one driver, renewed by one thread until `close`."""

    def __init__(self, store: Store, seconds: float = LEASE_SECONDS) -> None:
        self.store, self.seconds, self.owner = store, seconds, Owner.here()
        self._held: set[str] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease-heartbeat", daemon=True)
        self._thread.start()

    def acquire(self, folder: str) -> bool:
        """Take the lease of a node folder if it is free, dead or run out; whether it is ours now."""
        name = f"{folder}/lease.json"
        with self._lock:
            if folder in self._held:
                return True
            with self._exclusive(folder) as alone:
                taken = alone and self.store.create(name, self._content())
                if alone and not taken and self._is_stale(self.store.read(name)):
                    self.store.write(name, self._content())
                    taken = self._is_ours(name)
            if taken:
                self._held.add(folder)
            return taken

    def holds(self, folder: str) -> bool:
        """Whether we took the lease and have not learnt that it was lost."""
        return folder in self._held

    def check(self, folder: str) -> None:
        """Raise `LeaseLost` unless the node is still ours; called before a commit."""
        if folder not in self._held or not self._is_ours(f"{folder}/lease.json"):
            self._held.discard(folder)
            raise LeaseLost(f"{folder}: another driver took the lease; this one stops writing there")

    def release(self, folder: str) -> None:
        """Give a lease back."""
        with self._lock:
            if folder in self._held:
                self._if_ours(folder, self.store.delete)
            self._held.discard(folder)

    def holder(self, folder: str) -> dict | None:
        """Who holds a node now, None where nobody alive does."""
        data = self.store.read(f"{folder}/lease.json")
        return None if data is None or self._is_stale(data) else json.loads(data)

    def close(self) -> None:
        self._closed.set()
        for folder in list(self._held):
            self.release(folder)

    def _content(self) -> bytes:
        owner = self.owner
        return json.dumps(
            {"boot": owner.boot, "pid": owner.pid, "started": owner.started, "token": owner.token,
             "expires": time.time() + self.seconds}
        ).encode()  # fmt: skip

    def _is_ours(self, name: str) -> bool:
        data = self.store.read(name)
        return data is not None and _parse(data).get("token") == self.owner.token

    def _is_stale(self, data: bytes | None) -> bool:
        if data is None:
            return True
        record = _parse(data)
        if not record:
            return True
        owner = Owner(record["boot"], record["pid"], record["started"], record["token"])
        return owner.is_dead() or record["expires"] < time.time()

    def _renew(self) -> None:
        while not self._closed.wait(self.seconds / 4):
            with self._lock:
                for folder in list(self._held):
                    # A lease that went to another while we were stopped is not taken back: `check` will say so.
                    self._if_ours(folder, lambda name: self.store.write(name, self._content()))

    def _if_ours(self, folder: str, change: Callable[[str], None]) -> None:
        name = f"{folder}/lease.json"
        if self._is_ours(name):
            with self._exclusive(folder) as alone:
                if alone and self._is_ours(name):
                    change(name)

    @contextlib.contextmanager
    def _exclusive(self, folder: str) -> Iterator[bool]:
        """Reading a lease and replacing it is one step among the drivers of one file system; whether it is our turn.

        Never waits for long: a process that was stopped inside has the turn until it goes on or dies, so others look
        again later.
        """
        if not isinstance(self.store, LocalStore):
            yield True
            return
        import fcntl

        path = self.store.local(f"{folder}/scratch/lease.lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "w") as file:
            end = time.monotonic() + TURN_SECONDS
            alone = False
            while not alone and time.monotonic() < end:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    alone = True
                except BlockingIOError:
                    time.sleep(0.005)
            yield alone


def _parse(data: bytes) -> dict:
    try:
        record = json.loads(data)
    except ValueError:
        return {}
    known = isinstance(record, dict) and {"boot", "pid", "started", "token", "expires"} <= record.keys()
    return record if known else {}
