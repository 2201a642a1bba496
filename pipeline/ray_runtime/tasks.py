"""Keyed tasks as plain Ray tasks: a bounded number in flight, finished in any order, reported one by one."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import ray

from pipeline.binding import Binding
from pipeline.contract import TaskPhase
from pipeline.passes import peak_memory, portable
from pipeline.receipts import Receipt
from pipeline.sources import digest_file
from pipeline.tasks import run_task


@dataclass(frozen=True)
class TaskOutcome:
    """A finished task's receipt, or what went wrong."""

    key: str
    receipt: Receipt | None = None
    error: BaseException | None = None
    trace: str = ""
    memory: int = 0  # peak of the worker process so far, bytes


def _guarded(binding: Binding, phase: str, key: str) -> TaskOutcome:
    import traceback

    try:
        return TaskOutcome(key, run_task(binding, phase, key), memory=peak_memory())
    except Exception as error:  # belongs to this key; the others go on
        return TaskOutcome(key, error=portable(error), trace=traceback.format_exc())


def run_tasks(
    binding: Binding, phase: TaskPhase, keys: Sequence[str], workers: int, stopping: Callable[[], bool]
) -> Iterator[TaskOutcome]:
    """Outcomes as they come. When `stopping` turns true no further task is begun and those in flight are awaited."""
    content = ray.put(binding)
    task = ray.remote(num_cpus=phase.cpus, num_gpus=phase.gpus or None, max_retries=3)(_guarded)
    waiting, flying = list(reversed(keys)), {}
    while waiting or flying:
        while waiting and len(flying) < 2 * workers and not stopping():
            key = waiting.pop()
            # Ray keeps workers of one environment apart from those of another, so a name of its own is a new process.
            own = {"runtime_env": {"env_vars": {"SIFTLOOM_FRESH": uuid.uuid4().hex}}} if phase.fresh else {}
            flying[task.options(**own).remote(content, phase.name, key)] = key
        if not flying:
            return
        ready, _ = ray.wait(list(flying), num_returns=1)
        for reference in ready:
            key = flying.pop(reference)
            try:
                yield ray.get(reference)
            except ray.exceptions.RayError as error:  # the worker died more often than a task is retried
                yield TaskOutcome(key, error=RuntimeError(str(error).strip().splitlines()[0]), trace=str(error))


def digest_files(files: Sequence[tuple[str, int]]) -> list[str]:
    """SHA-256 of (path, size) in order, on the cluster."""
    task = ray.remote(digest_file)
    return ray.get([task.remote(path, size) for path, size in files])
