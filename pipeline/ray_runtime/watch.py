"""What can keep a run waiting without a word, or end it: Ray's head and nodes, full folders, CPUs that others hold."""

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

from pipeline.errors import UserError
from pipeline.ray_runtime.demand import waits_for
from pipeline.ray_runtime.last_words import LastWords
from pipeline.ray_runtime.raylet import find_raylet

LOOK_SECONDS = 1.0  # between two looks
MISSES = 3  # looks in a row at which the head does not answer, until it counts as dead
LITTLE_ROOM = 64 * 1024**2  # bytes; Ray's processes write logs, sockets and spilled objects
QUIET_SECONDS = 60.0  # without a task that ends, until it is said what is awaited
NODES_SECONDS = 5.0  # between two looks at the nodes of a cluster
UNASKED = (0, 2, 3)  # Ray's numbers of reasons why a node has gone: not known, not expected, taken back by its owner
NO_CPUS = "this Ray has no CPU now, and the run waits for a node that has: ray start --address"
KEPT = "what has a receipt is kept"


class Watch:
    """Looks once a second, in a thread of its own, from `start` to `close`.

    tell     is given one line for each thing that changes
    awaited  says what the driver waits for, empty where it waits for nothing
    lost     the error that the run ends in: of a head or a raylet that has died, None before
    """

    def __init__(self, tell: Callable[[str], None], awaited: Callable[[], str], local: bool) -> None:
        self.lost: UserError | None = None
        self._tell, self._awaited, self._local = tell, awaited, local
        self.head = ray.get_runtime_context().gcs_address
        self.folders = [tempfile.gettempdir(), *([_session_folder()] if local else [])]
        self._full: set[str] = set()
        self._misses, self._heard, self._said = 0, time.monotonic(), False
        self._raylet = find_raylet()
        self._words: LastWords | None = None
        self._alive: set[str] | None = None  # nodes of a cluster
        self._nodes_due = 0.0
        self._lacks_gpu = False
        self._closed = threading.Event()

    def start(self) -> None:
        if self._raylet is not None:
            with contextlib.suppress(OSError):  # no room for another process: the run itself is of more worth
                self._words = LastWords(self._raylet.process.pid, str(self._raylet_lost()))
        threading.Thread(target=self._run, name="watch", daemon=True).start()

    def close(self) -> None:
        """End the watch. Where Ray is lost the last words stay: it may end the process before its error is printed."""
        self._closed.set()
        if self._words is not None and self.lost is None:
            self._words.end()

    def require_ray(self) -> None:
        """Raise the error of a head or a raylet that has died."""
        self.look_at_raylet()
        if self.lost is not None:
            raise self.lost

    def heard(self) -> None:
        """Note that a task has ended."""
        self._heard, self._said = time.monotonic(), False

    def _run(self) -> None:
        while not self._closed.wait(LOOK_SECONDS):
            self.look_at_head()
            self.look_at_raylet()
            self.look_at_folders()
            if not self._misses and self.lost is None:
                with contextlib.suppress(Exception):  # Ray's, of a head that died since; the next look will name it
                    self.look_at_nodes()
                    self.look_at_quiet()

    def look_at_head(self) -> None:
        """See whether Ray's head still answers. A local head never comes back, the head of a cluster may."""
        host, _, port = self.head.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), LOOK_SECONDS).close()
        except OSError as error:
            self._misses += 1
            if self._misses == MISSES and self._local:
                self._lose(self._head_lost(f"its head has died: nothing listens any more at {self.head} ({error})"))
            elif self._misses == MISSES:
                self._tell(f"Ray's head at {self.head} does not answer ({error}); waiting for it to come back")
                if self._words is not None:  # Ray gives it a minute, and then ends the process
                    self._words.change(str(self._head_lost(f"its head does not answer any more ({error})")))
            return
        if self._misses >= MISSES:
            self._tell(f"Ray's head at {self.head} answers again")
            if self._words is not None:
                self._words.change("")
        self._misses = 0

    def look_at_raylet(self) -> None:
        """See whether the raylet of this driver lives: without it no task can be begun and no object be read."""
        if self.lost is None and self._raylet is not None and self._raylet.died:
            self._lose(self._raylet_lost())

    def look_at_nodes(self) -> None:
        """Say which node of a cluster has died. What ran there is run again, so nothing else would tell of it."""
        if self._local or time.monotonic() < self._nodes_due:
            return
        nodes = {node["NodeID"]: node for node in ray.nodes()}
        alive = {name for name, node in nodes.items() if node["Alive"]}
        for name in sorted((self._alive or set()) - alive):
            node = nodes.get(name, {})
            if node.get("DeathReason") in UNASKED:
                why = node.get("DeathReasonMessage") or "no reason is known"
                done_again = "what it worked on is done again"
                left = done_again if ray.cluster_resources().get("CPU") else f"{NO_CPUS} {self.head}"
                self._tell(f"Ray's node at {node['NodeManagerAddress']} has died ({why}); {left}")
        self._alive, self._nodes_due = alive, time.monotonic() + NODES_SECONDS
        self.look_at_gpus()

    def look_at_gpus(self) -> None:
        """Say that something waits for a GPU where a cluster has none: Ray itself waits without a word."""
        lacks = not ray.cluster_resources().get("GPU") and waits_for("GPU")
        if lacks and not self._lacks_gpu:
            self._tell(
                f"{self._awaited() or 'the run'} waits for a GPU, and {self._place} has none now: a node that has one "
                "must join (by the autoscaler, or ray start --address), or the recipe choose the CPU"
            )
        self._lacks_gpu = lacks

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
        if not awaited or free.get("CPU", 0) >= 1 or self._lacks_gpu:
            return
        self._said = True
        cpus = have.get("CPU", 0)
        why = "long tasks of this run hold them, or another driver on this Ray does"
        self._tell(
            f"no task has ended for {QUIET_SECONDS:.0f} s; awaited: {awaited}. "
            + (f"Of {cpus:g} CPUs none is free: {why}" if cpus else f"{NO_CPUS} {self.head}")
        )

    def _lose(self, error: UserError) -> None:
        self.lost = error
        if self._words is not None:
            self._words.change(str(error))

    @property
    def _place(self) -> str:
        return "Ray on this machine" if self._local else f"Ray at {self.head}"

    def _head_lost(self, found: str) -> UserError:
        then = f"run again: {KEPT}" if self._local else f"run again when a head answers there: {KEPT}"
        return UserError(self._place, found, "a Ray that answers", then)

    def _raylet_lost(self) -> UserError:
        assert self._raylet is not None
        number, log = self._raylet.process.pid, self._raylet.log
        if self._local:
            found, then = f"its raylet (process {number}) has died", f"run again: {KEPT}"
        else:
            found = f"the raylet that this driver works through (process {number} of this machine) has died"
            then = f"start it again (ray start --address {self.head}), then run again: {KEPT}"
        return UserError(self._place, found, "a Ray that answers", f"{then}. Ray's own log: {log}")


def _session_folder() -> str:
    private: Any = ray
    node = private._private.worker._global_node
    return tempfile.gettempdir() if node is None else node.get_session_dir_path()
