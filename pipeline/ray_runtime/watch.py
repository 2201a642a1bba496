"""What can keep a run waiting without a word, looked at beside it: Ray's head, full folders, CPUs that others hold."""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

import ray

LOOK_SECONDS = 1.0  # between two looks
MISSES = 3  # looks in a row at which the head does not answer, until it counts as dead
LITTLE_ROOM = 64 * 1024**2  # bytes; Ray's processes write logs, sockets and spilled objects
QUIET_SECONDS = 60.0  # without a task that ends, until it is said what is awaited


class Watch:
    """Looks once a second, in a thread of its own, from `start` to `close`.

    tell     is given one line for each thing that changes
    awaited  says what the driver waits for, empty where it waits for nothing
    lost     what there is to say of Ray's head once it does not answer any more, empty before
    """

    def __init__(self, tell: Callable[[str], None], awaited: Callable[[], str], local: bool) -> None:
        self.lost = ""
        self._tell, self._awaited, self._local = tell, awaited, local
        self.head = ray.get_runtime_context().gcs_address
        self.folders = [tempfile.gettempdir(), *([_session_folder()] if local else [])]
        self._full: set[str] = set()
        self._misses, self._heard, self._said = 0, time.monotonic(), False
        self._closed = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._run, name="watch", daemon=True).start()

    def close(self) -> None:
        self._closed.set()

    def heard(self) -> None:
        """Note that a task has ended."""
        self._heard, self._said = time.monotonic(), False

    def _run(self) -> None:
        while not self._closed.wait(LOOK_SECONDS):
            self.look_at_head()
            self.look_at_folders()
            if not self._misses:
                with contextlib.suppress(Exception):  # Ray's, of a head that died since; the next look will name it
                    self.look_at_quiet()

    def look_at_head(self) -> None:
        """See whether anyone listens where Ray's head did. A local head never comes back, that of a cluster may."""
        host, _, port = self.head.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), LOOK_SECONDS).close()
        except OSError as error:
            self._misses += 1
            if self._misses == MISSES and self._local:
                self.lost = f"nothing listens any more at {self.head} ({error})"
            elif self._misses == MISSES:
                self._tell(f"Ray's head at {self.head} does not answer ({error}); waiting for it to come back")
            return
        if self._misses >= MISSES:
            self._tell(f"Ray's head at {self.head} answers again")
        self._misses = 0

    def look_at_folders(self) -> None:
        for folder in self.folders:
            try:
                free = shutil.disk_usage(folder).free
            except OSError:  # it is gone, and whoever wants to write there says so
                continue
            if (free < LITTLE_ROOM) == (folder in self._full):
                continue
            self._full ^= {folder}
            if free < LITTLE_ROOM:
                self._tell(f"{folder} is full ({free / 1e6:.1f} MB are free): Ray waits until there is room; remove "
                           "files there, or stop and run again with TMPDIR and RAY_TMPDIR on another disk")  # fmt: skip
            else:
                self._tell(f"{folder} has room again")

    def look_at_quiet(self) -> None:
        """Say what is awaited where nothing has ended for long and Ray has no CPU to give: another driver may hold
        them.
        """
        if self._said or time.monotonic() - self._heard < QUIET_SECONDS:
            return
        awaited = self._awaited()
        have, free = ray.cluster_resources(), ray.available_resources()
        if not awaited or free.get("CPU", 0) >= 1:
            return
        self._said = True
        self._tell(
            f"no task has ended for {QUIET_SECONDS:.0f} s; awaited: {awaited}. Of {have.get('CPU', 0):g} CPUs none is "
            "free: long tasks of this run hold them, or another driver on this Ray does"
        )


def _session_folder() -> str:
    private: Any = ray
    node = private._private.worker._global_node
    return tempfile.gettempdir() if node is None else node.get_session_dir_path()
