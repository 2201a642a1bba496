"""Keyed tasks on Ray: a bounded number in flight, finished in any order, reported one by one."""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError

from pipeline.contract import Resources, TaskPhase
from pipeline.errors import UserError
from pipeline.files.address import Address
from pipeline.files.sources import digest_file
from pipeline.ray_runtime import session
from pipeline.results.binding import Binding
from pipeline.worker import opened
from pipeline.worker.tasks import TaskOutcome, try_task

K = TypeVar("K")
MOST_SHARED = 4  # phases and passes that a worker remembers: those that go on side by side
TRIES_AGAIN = 3  # of a task whose worker dies; without a bound a shard that kills its worker would do so for ever

_shared: dict[str, Any] = {}  # of this worker process: what the tasks that it works on have in common


def shared(content: list[ray.ObjectRef]) -> Any:
    """Return what a phase or a pass gives to every task. It names all shards, so a worker unpickles it only once.

    It comes inside a list, where it stays a reference. As an argument by itself Ray would unpickle it for each task.
    """
    name = content[0].hex()
    if name not in _shared:
        if len(_shared) >= MOST_SHARED:
            del _shared[next(iter(_shared))]
        _shared[name] = ray.get(content[0])
        passes = [phase for content in _shared.values() if isinstance(content, list) for phase in content]
        opened.keep_only(opened.name_of(phase.binding, phase.phase) for phase in passes)
    return _shared[name]


def _one_task(content: list[ray.ObjectRef], phase: str, key: str) -> TaskOutcome:
    return try_task(shared(content), phase, key)


# A process has one device for its life, and gives it back with its end.
_gpu_task = ray.remote(max_calls=1)(_one_task)
_task = ray.remote(_one_task)  # once: every `ray.remote` sends the function to every worker again


def run_tasks(
    binding: Binding, phase: TaskPhase, keys: Sequence[str], width: Callable[[], int], stopping: Callable[[], bool]
) -> Iterator[TaskOutcome]:
    """Yield the outcome of each task as it ends.

    When `stopping` turns true no further task is begun and those in flight are awaited.
    """
    require_gpus(phase.resources, phase.name)
    content, waiting = [ray.put(binding)], deque(keys)
    wanted, task = phase.resources, _gpu_task if phase.resources.gpus else _task
    options: dict[str, Any] = {
        "num_cpus": wanted.cpus, "num_gpus": wanted.gpus, "memory": wanted.memory, "max_retries": TRIES_AGAIN
    }  # fmt: skip

    def begin() -> tuple[str, ray.ObjectRef] | None:
        if not waiting:
            return None
        # Ray keeps workers of one environment apart from those of another, so a name of its own is a new process.
        own = {"runtime_env": {"env_vars": {"SIFTLOOM_FRESH": uuid.uuid4().hex}}} if phase.fresh else {}
        key = waiting.popleft()
        return key, task.options(**options, **own).remote(content, phase.name, key)

    for key, found in in_flight(begin, width, stopping):
        yield TaskOutcome(key, error=found, trace=str(found)) if isinstance(found, WorkerDied) else found


class WorkerDied(RuntimeError):
    """A task's worker was killed, or crashed, more often than a task is tried again."""

    @staticmethod
    def of(error: BaseException) -> WorkerDied:
        """Make the error from what Ray says of a death: the sentence with the cause, without tasks and traces."""
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        causes = [line for line in lines if any(word in line.lower() for word in ("died", "killed", "memory", "crash"))]
        return WorkerDied((causes or lines or [type(error).__name__])[-1])


def require_gpus(wanted: Resources, place: str) -> None:
    """Raise UserError for GPUs that this machine does not have; a cluster may still grow and is waited for."""
    there = ray.cluster_resources().get("GPU", 0)
    if wanted.gpus > there and session.is_local():
        raise UserError(
            place, f"it asks for {wanted.gpus:g} GPUs a worker", f"at most the {there:g} of this machine",
            "run it on a machine that has them: siftloom run --address, or choose the CPU in the recipe",
        )  # fmt: skip


class Width:
    """How many tasks to keep in flight. A call looks at the cluster as it is now, for it may have grown.

    The width is twice the CPUs, so that no worker waits for the driver and an autoscaler sees what is wanted. It is
    `most` where the cluster has more CPUs than the run may use.
    """

    SECONDS = 5.0  # between two looks

    def __init__(self, most: int | None) -> None:
        self._most, self._seen, self._due = most, 0, 0.0

    def __call__(self) -> int:
        if time.monotonic() >= self._due:
            self._seen = max(1, int(ray.cluster_resources().get("CPU", 1)))  # a head alone may have none, or half a one
            self._due = time.monotonic() + self.SECONDS
        return self._most if self._most is not None and self._most < self._seen else 2 * self._seen


def in_flight(
    begin: Callable[[], tuple[K, ray.ObjectRef] | None], width: Callable[[], int], stopping: Callable[[], bool]
) -> Iterator[tuple[K, Any]]:
    """Yield (item, return value of its task or the `WorkerDied`) as tasks end, at most `width()` at once.

    `begin` submits the next task and returns (item, its reference), or None while there is none. When `stopping` turns
    true no further task is begun and those in flight are awaited.
    """
    flying: dict[ray.ObjectRef, K] = {}
    while True:
        while len(flying) < width() and not stopping() and (begun := begin()) is not None:
            item, reference = begun
            flying[reference] = item
        if not flying:
            return
        ready, _ = ray.wait(list(flying), num_returns=1)
        for reference in ready:
            item = flying.pop(reference)
            try:
                yield item, ray.get(reference)
            except RayTaskError as error:  # raised outside of what a task guards, so nobody has named its cause yet
                died = WorkerDied(f"{type(error.cause).__name__}: {error.cause}")
                died.__cause__ = error
                yield item, died
            except RayError as error:
                yield item, WorkerDied.of(error)


def digest_files(files: Sequence[tuple[Address, int]]) -> list[str]:
    """Return the SHA-256 of each (path, size) in order, computed on the cluster. Raises what `digest_file` raises, and
    UserError where a worker dies.
    """
    task = ray.remote(digest_file)
    try:
        return ray.get([task.remote(path, size) for path, size in files])
    except RayTaskError as error:  # its text is a trace of the worker
        raise error.cause from None
    except RayError as error:
        raise UserError(
            "digests of the source files", f"a worker has died: {WorkerDied.of(error)}", "a worker that reads them all",
            "run again",
        ) from error  # fmt: skip
