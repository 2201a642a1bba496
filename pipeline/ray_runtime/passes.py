"""A pass as a Ray Data pipeline over shard descriptors: documents never enter the object store."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from typing import Any

import ray
import ray.data
from ray.exceptions import RayError

from pipeline.passes import Outcome, ShardWork, Step, portable, run_shard
from pipeline.ray_runtime.tasks import TRIES_AGAIN, WorkerDied, in_flight
from pipeline.store import open_store


class _ShardWorker:
    """One shard descriptor in, its pickled outcomes out. Row functions are kept per worker process."""

    def __init__(self, store: str, steps: Sequence[Step], works: Sequence[ShardWork], stop_name: str) -> None:
        self.store, self.stop_name = store, stop_name
        self.content = ray.put((list(steps), list(works)))
        self._local: tuple | None = None

    def __getstate__(self):
        return {**self.__dict__, "_local": None}

    def __call__(self, batch: Any) -> Any:
        if self._local is None:
            self._local = ray.get(self.content)
        steps, works = self._local
        return {"index": batch["index"], "outcomes": [self._one(steps, works[int(i)]) for i in batch["index"]]}

    def _one(self, steps: Sequence[Step], work: ShardWork) -> bytes:
        if self.stop_name and open_store(self.store).size(self.stop_name) is not None:
            return pickle.dumps([])  # asked to stop: shards not begun stay due
        try:
            return pickle.dumps(run_shard(self.store, steps, work))
        except Exception as error:  # reading the shard itself failed: every step due for it has
            return pickle.dumps([Outcome(i, work.base.shard.name, error=portable(error)) for i in work.due])


def run_pass(
    store: str, steps: Sequence[Step], works: Sequence[ShardWork], stop_name: str, workers: int
) -> Iterator[list[Outcome]]:
    """Outcomes per shard, as blocks of shards finish."""
    function = _ShardWorker(store, steps, works, stop_name)
    rows = ray.data.from_items(
        [{"index": i} for i in range(len(works))], override_num_blocks=max(1, min(len(works), 4 * workers))
    )
    gpus = max((step.spec().gpus for step in steps), default=0)
    outcomes = rows.map_batches(
        function.__call__, batch_size=None, batch_format="numpy", num_cpus=1, num_gpus=gpus,
        max_retries=TRIES_AGAIN,
    )  # fmt: skip
    missing = dict(enumerate(works))
    try:
        for batch in outcomes.iter_batches(batch_size=None, batch_format="numpy"):
            for index, data in zip(batch["index"], batch["outcomes"], strict=True):
                del missing[int(index)]
                yield pickle.loads(data)
    except RayError:
        # Workers died over some block, and Ray Data gives up on all of them. One shard at a time tells which one it is.
        one = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=0)(lambda batch: function(batch))
        for index, found in in_flight(lambda i: one.remote({"index": [i]}), list(missing), workers, lambda: False):
            if isinstance(found, WorkerDied):
                work = works[index]
                yield [Outcome(i, work.base.shard.name, error=found, trace=str(found)) for i in work.due]
            else:
                yield pickle.loads(found["outcomes"][0])
