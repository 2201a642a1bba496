"""Jobs: each pass and each keyed phase runs in a thread of its own, and a runner does its work.

A job changes nothing of the driver's. What comes of its tasks arrives as messages in one queue, and the walk takes
them out. The threads are daemons, so that a run that ends in an error does not wait for a job that hangs.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipeline.contract import Node, RowPhase, ShardPhase, TaskPhase
from pipeline.driver.schedule import Key
from pipeline.results.binding import Binding
from pipeline.results.receipts import Receipt
from pipeline.worker.passes import PassPhase, ShardWork

MOST_JOBS = 16


@dataclass(frozen=True)
class Begun:
    """Some tasks of a node begin."""

    node: Node
    tasks: int


@dataclass(frozen=True)
class Done:
    """A task has its receipt; `memory` is the peak of its worker in bytes."""

    node: Node
    phase: str
    receipt: Receipt
    memory: int = 0


@dataclass(frozen=True)
class Failed:
    """A task has failed."""

    node: Node
    key: str
    error: BaseException
    trace: str = ""


@dataclass(frozen=True)
class Logged:
    """A task that runs in the driver reports something, or Ray Data on a pass."""

    node: Node
    kind: str
    values: dict[str, Any]


@dataclass(frozen=True)
class Told:
    """A line for people."""

    text: str


@dataclass(frozen=True, eq=False)
class Job:
    """The phases that a thread works on; `cpus` are those that its workers hold beside the tasks of Ray."""

    keys: tuple[Key, ...]
    cpus: float = 0


@dataclass(frozen=True)
class Ended:
    """A job has ended, the last of its messages; `error` is a fault of the engine or of Ray, not of a task."""

    job: Job
    error: BaseException | None = None


Message = Begun | Done | Failed | Logged | Told | Ended
Post = Callable[[Message], None]


@dataclass
class Jobs:
    """The jobs at work, and their messages. `names` are those of the nodes."""

    names: Mapping[Node, str]
    running: list[Job] = field(default_factory=list)
    _queue: queue.SimpleQueue[Message] = field(default_factory=queue.SimpleQueue)

    @property
    def busy(self) -> set[Key]:
        """The phases that jobs work on."""
        return {key for job in self.running for key in job.keys}

    def told(self) -> str:
        """Return the phases that jobs work on, for people."""
        return ", ".join(sorted(f"{self.names[node]} ({phase})" for node, phase in self.busy))

    def start(self, job: Job, work: Callable[[Post], None]) -> None:
        self.running.append(job)
        threading.Thread(target=self._run, args=(job, work), name="job", daemon=True).start()

    def messages(self, seconds: float) -> Iterator[Message]:
        """Yield messages as they come, until a job has ended or the time is over."""
        until = time.monotonic() + seconds
        while True:
            try:
                message = self._queue.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                return
            if isinstance(message, Ended):
                self.running.remove(message.job)
            yield message
            if isinstance(message, Ended):
                return

    def _run(self, job: Job, work: Callable[[Post], None]) -> None:
        try:
            work(self._queue.put)
        except BaseException as error:
            self._queue.put(Ended(job, error))
        else:
            self._queue.put(Ended(job))


class Runner(Protocol):
    """Does the work of jobs: on Ray (`pipeline.driver.on_ray`), or in this process (`pipeline.driver.here`)."""

    def tasks(self, node: Node, phase: TaskPhase, due: Sequence[str], binding: Binding, post: Post) -> None:
        """Run the due tasks of a phase."""
        ...

    def shards(
        self, joined: Sequence[tuple[Node, RowPhase | ShardPhase]], phases: Sequence[PassPhase],
        works: Sequence[ShardWork], post: Post,
    ) -> None:  # fmt: skip
        """Run one pass over the shards that are due."""
        ...
