"""A pass as Ray tasks, each for a shard or a few small ones: a worker reads them from the store and writes side-cars.

Only descriptors of shards and their receipts travel through Ray; documents never enter the object store.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence

import ray

from pipeline.ray_runtime.tasks import TRIES_AGAIN, WorkerDied, in_flight, shared
from pipeline.store.objects import open_store
from pipeline.worker.context import Receipts
from pipeline.worker.passes import Outcome, PassPhase, ShardWork, portable, run_shard

# Text for one Ray task, which costs driver and worker 4 ms together: as much as reading and hashing 2 MB.
WORTH_A_TASK = 64 * 1024**2


def _guarded(store: str, content: list[ray.ObjectRef], works: Sequence[ShardWork], stop_name: str) -> list[Outcome]:
    outcomes: list[Outcome] = []
    receipts: Receipts = {}
    for work in works:
        if stop_name and open_store(store).size(stop_name) is not None:
            break  # asked to stop: shards not begun stay due
        phases: list[PassPhase] = shared(content)
        try:
            outcomes += run_shard(store, phases, work, receipts)
        except Exception as error:  # reading the shard itself failed: every phase that is due for it has failed
            outcomes += [Outcome(i, work.base.shard.name, error=portable(error)) for i in work.due]
    return outcomes


_task = ray.remote(_guarded)  # once: every `ray.remote` sends the function to every worker again


def run_pass(
    store: str,
    phases: Sequence[PassPhase],
    works: Sequence[ShardWork],
    stop_name: str,
    width: Callable[[], int],
    stopping: Callable[[], bool],
) -> Iterator[list[Outcome]]:
    """Outcomes as tasks finish, of one shard or several. When `stopping` turns true, shards not begun stay due."""
    gpus = max((phase.spec().resources.gpus for phase in phases), default=0)
    content = [ray.put(list(phases))]
    waiting, again = deque(works), deque[ShardWork]()

    def begin() -> tuple[list[ShardWork], ray.ObjectRef] | None:
        group = [again.popleft()] if again else next_group(waiting, 1 if gpus else len(waiting) // width())
        if not group:
            return None
        # Which shard of several has killed its worker is found out by trying each alone.
        task = _task.options(num_cpus=1, num_gpus=gpus, max_retries=TRIES_AGAIN if len(group) == 1 else 0)
        return group, task.remote(store, content, group, stop_name)

    for group, found in in_flight(begin, width, stopping):
        if not isinstance(found, WorkerDied):
            yield found
        elif len(group) > 1:
            again += group
        else:
            yield [Outcome(i, group[0].base.shard.name, error=found, trace=str(found)) for i in group[0].due]


def next_group(waiting: deque[ShardWork], most: int) -> list[ShardWork]:
    """Takes shards off the front for one task: one, or up to `most` that together are no more text than it is worth.

    With the waiting ones over the tasks in flight as `most`, groups shrink towards the end, so that the last workers
    finish at about the same time.
    """
    group: list[ShardWork] = []
    text = 0
    while waiting and len(group) < max(1, most):
        text += waiting[0].base.shard.text_bytes
        if group and text > WORTH_A_TASK:
            break
        group.append(waiting.popleft())
    return group
