"""A pass as one Ray Data pipeline over groups of shard descriptors.

Neighbouring phases of equal resources are one operator, so a pass that needs nothing but CPUs keeps documents out of
Ray's object store: its workers read shards from the store and write side-cars to it. A phase that holds a model, wants
a GPU or waits for a network is a pool of actors, and rows flow to it under Ray Data's backpressure.

A block is lost alone (`max_errored_blocks`): when its worker is killed, the others go on. What has no outcome then is
run again, one shard to a block, and then, if need be, one shard to a pipeline, which ends in the cause of its death.
"""

from __future__ import annotations

import gc
import logging
import pickle
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import ray

from pipeline.contract import Resources
from pipeline.files.address import Address
from pipeline.files.open_store import open_store
from pipeline.ray_runtime import operators
from pipeline.ray_runtime.admission import admitted
from pipeline.ray_runtime.operators import Assignment, Operator
from pipeline.ray_runtime.tasks import TRIES_AGAIN, WorkerDied, require_gpus
from pipeline.results.receipts import read_receipt
from pipeline.worker.passes import Outcome, PassPhase, ShardWork

if TYPE_CHECKING:
    from ray.data import Dataset

# Text for one block, which costs driver and worker 10 to 15 ms: as much as reading and hashing 4 MB.
WORTH_A_BLOCK = 64 * 1024**2
SHARDS_A_BLOCK = 1000

# Ray Data is given all blocks of a pipeline before it starts, 1.6 ms and 4 kB each. So a pass of more is several
# pipelines, one after the other: each holds 256 GiB of text or more, beside which the end of one does not count.
BLOCKS_A_PIPELINE = 4096


@dataclass
class Pass:
    """One pass, as far as it has come."""

    store: Address
    phases: Sequence[PassPhase]
    names: Sequence[str]  # of the phases' nodes, as the recipe calls them
    works: Sequence[ShardWork]
    stop_name: str
    width: Callable[[], int]
    most_cpus: int | None = None  # that the run may use on a larger cluster
    stats: list[str] = field(default_factory=list)  # Ray Data's, one text for each pipeline

    def run(self, stopping: Callable[[], bool], tell: Callable[[str], None]) -> Iterator[list[Outcome]]:
        """Yield outcomes as blocks end. When `stopping` turns true, shards not begun stay due. `tell` is given a line
        where the pass has to wait for another.
        """
        self.operators = operators.operators(self.phases, self.names)
        for operator in self.operators:
            require_gpus(operator.resources, operator.name)
        if not any(operator.resources.held for operator in self.operators):
            yield from self._attempts(stopping)
            return
        with admitted(_held_cpus(self.operators), stopping, tell) as may_begin:
            if may_begin:
                yield from self._attempts(stopping)

    def _attempts(self, stopping: Callable[[], bool]) -> Iterator[list[Outcome]]:
        left = {work.base.shard.name: work for work in self.works}
        self._content = [ray.put(list(self.phases))]
        self._load_failures: set[int] = set()
        alone = len(left) == 1
        for retries in () if alone else (0, TRIES_AGAIN - 1):
            groups = ([replace(work, tried=True)] for work in list(left.values())) if retries else self._groups()
            while not stopping() and (some := list(islice(groups, BLOCKS_A_PIPELINE))):
                for shard, outcomes in self._pipeline(some, retries, errored=-1):
                    left.pop(shard, None)
                    yield outcomes
            if left:
                gc.collect()  # see `_alone`
        for shard, work in left.items():
            if stopping():
                return
            yield self._alone(shard, work, TRIES_AGAIN if alone else 0)

    def _alone(self, shard: str, work: ShardWork, retries: int) -> list[Outcome]:
        """Run one shard; return its outcomes, with the cause where its worker dies."""
        try:
            again = replace(work, tried=True)  # by a worker before, or by one that Ray replaces
            return [o for _, outcomes in self._pipeline([[again]], retries, errored=0) for o in outcomes]
        except Exception as error:  # Ray Data's or Ray's own: what its workers raise comes back as an outcome
            died = WorkerDied.of(error)
        gc.collect()  # Ray Data's error refers to its own frames, and those to actors, which would hold their CPUs
        return self._blamed(shard, work, died)

    def _blamed(self, shard: str, work: ShardWork, error: WorkerDied) -> list[Outcome]:
        """Return the receipts that a worker left, and the error on the phases of the operator that it died in."""
        store, done, failed = open_store(self.store), [], []
        for index in work.due:
            phase = self.phases[index]
            receipt = read_receipt(store, phase.binding.place.folder, phase.phase, shard)
            if receipt is not None:
                done.append(Outcome(index, shard, receipt))
            else:
                failed.append(index)
        part = next((o.part for o in self.operators if failed and failed[0] in o.part), range(0))
        return [*done, *(Outcome(i, shard, error=error, trace=str(error)) for i in failed if i in part)]

    def _groups(self) -> Iterator[list[ShardWork]]:
        waiting = deque(self.works)
        while waiting:
            yield next_group(waiting, len(waiting) // max(1, self.width()))

    # the pipeline ----------------------------------------------------------------------------------------------------

    def _pipeline(
        self, groups: Sequence[Sequence[ShardWork]], retries: int, errored: int
    ) -> Iterator[tuple[str, list[Outcome]]]:
        """Run groups of shards; yield (shard, outcomes). With `errored` 0 the first worker that dies ends it."""
        dataset = self._dataset(groups, retries, errored)
        # `iter_batches` would start a thread to fetch ahead, which never ends
        for bundle in dataset.iter_internal_ref_bundles():
            for entry in bundle.blocks:
                ref: Any = entry.ref  # Ray Data's own type of reference
                block: Any = ray.get(ref)
                for row in range(len(block)):
                    parcel = pickle.loads(block["parcel"][row].as_py())
                    yield parcel.work.base.shard.name, [o for o in parcel.outcomes if self._is_new(o)]
        self.stats.append(dataset.stats())

    def _is_new(self, outcome: Outcome) -> bool:
        """Return whether an outcome is news. That a model cannot be loaded is told once, not for every shard."""
        if outcome.shard != "load":
            return True
        known = outcome.index in self._load_failures
        self._load_failures.add(outcome.index)
        return not known

    def _dataset(self, groups: Sequence[Sequence[ShardWork]], retries: int, errored: int) -> Dataset:
        import ray.data

        # Ray Data sets its loggers up when it is imported. Errors of this module name the shard and the node of a dead
        # worker, which Ray Data's messages do not.
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        dataset = ray.data.from_items([operators.group_row(g) for g in groups], override_num_blocks=len(groups))
        self._set_up(dataset.context)
        dataset.context.max_errored_blocks = errored
        feeding, spare = _cpus_of(self.operators)
        for number, operator in enumerate(self.operators):
            job = Assignment(self.store, self._content, operator.part, self.stop_name)
            wanted = operator.resources
            options: dict[str, Any] = {"num_cpus": min(wanted.cpus, feeding), "batch_format": "pyarrow"}
            if wanted.memory:
                options["memory"] = wanted.memory
            if wanted.held:
                # A pool never gets over an actor that is not restarted; the last try wants to know why it died.
                options |= _pool(wanted, spare) | {"max_restarts": -1 if errored else retries}
                options |= {"batch_size": 1, "max_task_retries": retries}
                dataset = dataset.map_batches(operators.held_operator(job, operator.name), **options)
            else:
                make = operators.first_operator if number == 0 else operators.later_operator
                options |= {"batch_size": None, "max_retries": retries}
                dataset = dataset.map_batches(make(job, operator.name), **options)
        return dataset

    def _set_up(self, context: Any) -> None:
        """Set what Ray Data does with a pass: no word on the screen, no limit of time, no more CPUs than allowed."""
        context.enable_progress_bars = context.print_on_execution_start = False
        context.enable_auto_log_stats = False
        context.execution_no_progress_timeout_s = -1  # a shard may keep a model busy for hours
        if self.most_cpus is not None:
            from ray.data import ExecutionResources

            context.execution_options.resource_limits = ExecutionResources.for_limits(cpu=self.most_cpus)


def _pool(wanted: Resources, spare: float) -> dict[str, Any]:
    """Return the options of a pool of actors, which together leave CPUs for the tasks that read for them."""
    from ray.data import ActorPoolStrategy

    fewest, most = _actors(wanted, spare)
    return {
        "compute": ActorPoolStrategy(
            min_size=fewest, max_size=most,
            max_tasks_in_flight_per_actor=wanted.concurrency + 1,
            max_concurrent_calls_per_actor=wanted.concurrency,
            enable_true_multi_threading=wanted.concurrency > 1,
        ),
        "num_cpus": min(wanted.cpus, spare), "num_gpus": wanted.gpus,
    }  # fmt: skip


def _actors(wanted: Resources, spare: float) -> tuple[int, int]:
    """Return the least and the most actors of a pool that may hold `spare` CPUs."""
    devices = ray.cluster_resources().get("GPU", 0)
    fewest, most = wanted.actors or (1, max(1, int(devices / wanted.gpus)))
    fit = int(spare / wanted.cpus) if wanted.cpus else most
    most = max(1, min(most, fit))
    return min(fewest, most), most


def _held_cpus(found: Sequence[Operator]) -> float:
    """Return the CPUs that all actors of a pass may hold, and those of a task that feeds them."""
    feeding, spare = _cpus_of(found)
    pools = [operator.resources for operator in found if operator.resources.held]
    return feeding + sum(_actors(pool, spare)[1] * min(pool.cpus, spare) for pool in pools)


def _cpus_of(found: Sequence[Operator]) -> tuple[float, float]:
    """Return the CPUs that a task of a pass takes at most, and those that each of its pools of actors may hold.

    Together they fit into the cluster, so that a task can always run beside the actors, which keep their CPUs to the
    end of the pass. With one CPU each side has half of it.
    """
    pools = [operator for operator in found if operator.resources.held]
    feeding = max((operator.resources.cpus for operator in found if not operator.resources.held), default=0)
    if not pools:
        return feeding, 0
    cpus = ray.cluster_resources().get("CPU", 1)
    spare = max(cpus - feeding, cpus / 2)
    return min(feeding, cpus - spare), spare / len(pools)


def next_group(waiting: deque[ShardWork], most: int) -> list[ShardWork]:
    """Take the shards of one block off the front: one, or up to `most` whose text together is small enough.

    The caller gives as `most` the shards that wait, divided by the tasks in flight. So groups shrink towards the end,
    and the last workers finish at about the same time.
    """
    group: list[ShardWork] = []
    text = 0
    while waiting and len(group) < max(1, min(most, SHARDS_A_BLOCK)):
        text += waiting[0].base.shard.text_bytes
        if group and text > WORTH_A_BLOCK:
            break
        group.append(waiting.popleft())
    return group


def warm() -> None:
    """Import Ray Data and start its helper actors, which takes seconds, beside what the driver does meanwhile."""
    import ray.data
    from ray.data._internal.stats import get_or_create_stats_actor

    try:
        get_or_create_stats_actor()
    except Exception:
        # A run that is stopped as it starts leaves Ray meanwhile: then nothing is to be warmed.
        if ray.is_initialized():
            raise
