"""One writer per node.

A lease is a small file `<node>/lease/<turn>.json` that names its owner: host boot, PID namespace, pid, and start time
of the process. Whoever holds the lease with the highest turn holds the node. A lease is stale when this host can tell
that its owner is dead, or when it has run out; then the next turn may be taken. Each turn is taken by an exclusive
create and written by nobody but its owner, so two drivers never take the same one, on a file system or on an object
store.

A heartbeat renews every lease that this driver holds. Before a driver commits, it looks whether its turn is still the
highest. So a process that was stopped for a while, and whose lease went to another meanwhile, learns of it. Tasks are
deterministic, so a lease saves work and never guards bytes.
"""

from __future__ import annotations

import contextlib
import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from pipeline.errors import LeaseLost
from pipeline.files.objects import Store
from pipeline.files.owner import Owner
from pipeline.quantities import duration, setting

LEASE_SECONDS = setting("SIFTLOOM_LEASE_SECONDS", 60)
TURN_SECONDS = 0.05  # between two looks at a lease that is held for a moment
PATIENCE_SECONDS = 5.0  # that such a lease is waited for without a word


@dataclass(frozen=True)
class Lease:
    """What a lease file says."""

    owner: Owner
    expires: float  # Unix time, seconds

    def content(self) -> bytes:
        return json.dumps({**asdict(self.owner), "expires": self.expires}).encode()

    @staticmethod
    def parse(data: bytes | None) -> Lease | None:
        """Return the lease; None for a file that is gone or damaged, which holds for nobody."""
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
    """The leases of one driver, renewed by one thread until `close`.

    `tell` is called by that thread when a renewal fails, and when they succeed again; and where a turn is awaited.
    """

    def __init__(
        self, store: Store, seconds: float = LEASE_SECONDS, tell: Callable[[str], None] = lambda text: None
    ) -> None:
        self.store, self.seconds, self.owner, self._tell = store, seconds, Owner.here(), tell
        self._failed: set[str] = set()  # folders whose last renewal failed
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
        """Hold the lease of a folder for a moment; waits for whoever holds it, and tells where that takes long."""
        patience = time.monotonic() + PATIENCE_SECONDS
        while not self.acquire(folder):
            if time.monotonic() > patience and (holder := self.told(folder)):
                self._tell(f"waiting for {folder}: {holder}")
                patience = math.inf
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
        return holder_of(self.store, folder)

    def told(self, folder: str) -> str:
        """Return in words who holds a node now, and until when; empty where nobody alive does."""
        turn = self._last(folder)
        found = Lease.parse(self.store.read(_name(folder, turn))) if turn else None
        if found is None or found.is_stale():
            return ""
        machine = "this" if found.owner.boot == self.owner.boot else "another"
        return (
            f"process {found.owner.pid} of {machine} machine holds it; its lease, which it renews while it lives, has "
            f"{duration(found.expires - time.time())} to run. Remove {_name(folder, turn)} if that driver is gone"
        )

    def close(self) -> None:
        self._closed.set()
        for folder in list(self._held):
            self.release(folder)

    def _content(self) -> bytes:
        return Lease(self.owner, time.time() + self.seconds).content()

    def _turns(self, folder: str) -> list[int]:
        return _turns(self.store, folder)

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
                    except Exception as error:
                        self._note(folder, error)
                    else:
                        self._note(folder, None)

    def _note(self, folder: str, error: Exception | None) -> None:
        """Tell how a renewal went, where the one before went otherwise."""
        if (error is not None) == (folder in self._failed):
            return
        self._failed ^= {folder}
        if error is None:
            self._tell(f"the lease of {folder} is renewed again")
        else:
            self._tell(f"the lease of {folder} could not be renewed ({error}); it runs out {self.seconds:.0f} s after "
                       "its last renewal, and another driver may then take the node")  # fmt: skip


def holder_of(store: Store, folder: str) -> Owner | None:
    """Who holds a node now, None where nobody alive does; for readers, who hold nothing themselves."""
    turn = max(_turns(store, folder), default=0)
    found = Lease.parse(store.read(_name(folder, turn))) if turn else None
    return None if found is None or found.is_stale() else found.owner


def _turns(store: Store, folder: str) -> list[int]:
    names = (name.removesuffix(".json") for name in store.names(f"{folder}/lease"))
    return sorted(int(name) for name in names if name.isdigit())


def _name(folder: str, turn: int) -> str:
    return f"{folder}/lease/{turn}.json"
