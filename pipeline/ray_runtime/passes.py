"""A pass as Ray tasks, one a shard: a worker reads its shard from the store and writes side-cars to it.

Only descriptors of shards and their receipts travel through Ray; documents never enter the object store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import ray

from pipeline.passes import Outcome, ShardWork, Step, portable, run_shard
from pipeline.ray_runtime.tasks import TRIES_AGAIN, WorkerDied, in_flight, shared
from pipeline.store import open_store


def _guarded(store: str, content: list[ray.ObjectRef], work: ShardWork, stop_name: str) -> list[Outcome]:
    if stop_name and open_store(store).size(stop_name) is not None:
        return []  # asked to stop: shards not begun stay due
    steps: list[Step] = shared(content)
    try:
        return run_shard(store, steps, work)
    except Exception as error:  # reading the shard itself failed: every step due for it has
        return [Outcome(i, work.base.shard.name, error=portable(error)) for i in work.due]


_task = ray.remote(_guarded)  # once: every `ray.remote` sends the function to every worker again


def run_pass(
    store: str,
    steps: Sequence[Step],
    works: Sequence[ShardWork],
    stop_name: str,
    width: Callable[[], int],
    stopping: Callable[[], bool],
) -> Iterator[list[Outcome]]:
    """Outcomes per shard, as shards finish. When `stopping` turns true, shards not begun stay due."""
    gpus = max((step.spec().gpus for step in steps), default=0)
    content = [ray.put(list(steps))]
    task = _task.options(num_cpus=1, num_gpus=gpus, max_retries=TRIES_AGAIN)

    def begin(work: ShardWork) -> ray.ObjectRef:
        return task.remote(store, content, work, stop_name)

    for work, found in in_flight(begin, works, width, stopping):
        if isinstance(found, WorkerDied):
            yield [Outcome(i, work.base.shard.name, error=found, trace=str(found)) for i in work.due]
        else:
            yield found
