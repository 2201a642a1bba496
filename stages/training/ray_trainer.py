"""The training loop under Ray: a group of Ray Train V2, or a plain task when one process is enough.

Checkpoints are the run's own and lie in the node's scratch folder, so that a run goes on from them with any number of
workers, in a group or alone, and another configuration cannot find them. A worker that dies is replaced, and all go
back to the last whole checkpoint; what the dead one recorded later is in none, so no step is missing or doubled.

Rows of a stream (`stages.training.stream`) come from a Ray Data pipeline that the group's controller lays out when a
group starts, from where the newest checkpoint is; Ray Train splits it over the workers.

`fit` blocks; it is called from a thread of the driver, where Ray Train leaves the signal handlers alone.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from pipeline.contract import Store
from stages.training import deaths
from stages.training.alone import fit_alone
from stages.training.checkpoint import Request, Saver
from stages.training.one_process import run_alone, run_process
from stages.training.ray_deaths import death_of, free_group
from stages.training.ray_network import group_config
from stages.training.ray_room import check_room, require_cuda
from stages.training.scratch import Scratch
from stages.training.stream_rows import ROW_BITS, Packer
from stages.training.training import Training

WATCHER = "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"
START_TIMEOUT = "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"
GIVEN = {name: os.environ.get(name) for name in (WATCHER, START_TIMEOUT)}  # by the user or the engine
START_SECONDS = 30  # that a group of a pair of workers waits for its room before its size is settled anew
ASK_SECONDS = 2.0  # between questions whether a machine is about to be reclaimed
RESIZE_SECONDS = 60.0  # between looks whether the cluster has room for another number of workers
BLOCK_BYTES = 16 << 20  # of rows: each worker waits for one before its first step
COLLECTIVE_SECONDS = 600  # a process that waits longer for another one fails, and the group is restarted


class RaySaver(Saver):
    """Asks Ray Train whether a machine is about to go; checkpoints are the run's own (`stages.training.checkpoint`)."""

    def __init__(self, scratch: Store | str) -> None:
        super().__init__(scratch)
        self._asked, self._known = time.monotonic(), None

    def request(self) -> Request:
        request = super().request()
        if request is Request.STOP or os.environ.get(WATCHER) == "0" or time.monotonic() - self._asked < ASK_SECONDS:
            return request
        self._asked = time.monotonic()
        return Request.LOOK

    def losing_machines(self) -> bool:
        import ray.train

        # a call of all workers that answers all alike; so it is made when the first process asks, not in each step
        info = ray.train.get_preemption_info()
        news = info is not None and info != self._known
        self._known = info
        return news


def run_worker(config: dict[str, Any]) -> None:
    """What each process of the group runs."""
    import ray.train

    context = ray.train.get_context()
    training: Training = config["training"]
    places = (context.get_world_rank(), context.get_world_size(), context.get_local_rank())
    passes = None
    if training.node.feed is not None:
        from stages.training.stream_feed import Passes

        first, later = (cast("Any", ray.train.get_dataset_shard(name)) for name in ("first", "later"))
        passes = Passes(first, later)
    saver = RaySaver(training.scratch)
    deaths.enter(saver.scratch, *places[:2])
    run_process(training, saver, *places, passes)


@dataclass(frozen=True)
class PassOfRows:
    """What a group's controller calls when the group starts: the rows of a pass as a `ray.data.Dataset`, in order.

    resumed  only what the newest checkpoint has not seen of the pass that goes on
    """

    maker: Packer
    scratch: Store | str
    resumed: bool

    def __call__(self) -> Any:
        import ray.data

        newest = Saver(self.scratch).newest_rest() if self.resumed else None
        first = 0 if newest is None else newest["feed"][1]
        places = range(first >> ROW_BITS, len(self.maker.groups))

        def rows(batch):
            place = int(batch["place"][0])
            yield from self.maker.rows(place, first & ((1 << ROW_BITS) - 1) if place == places.start else 0)

        items = [{"place": place} for place in places]
        dataset = ray.data.from_items(items, override_num_blocks=max(1, len(items)))
        dataset = dataset.map_batches(rows, batch_size=1, batch_format="numpy")
        # on the copy of the settings that travels with this data set
        dataset.context.enable_progress_bars = dataset.context.print_on_execution_start = False
        dataset.context.target_max_block_size = BLOCK_BYTES
        return dataset


def fit(training: Training, name: str, maker: Packer | None = None) -> None:
    """Train to the end, or to a request to stop; raises UserError where processes died too often, Ray's error where a
    worker failed otherwise.

    One worker on one machine needs no group: its loop is a plain task, which starts in a quarter of the time and gives
    the same bits. With a pair of workers, Ray Train starts as many as the cluster has room for between the two, and
    starts the group anew from the last checkpoint when that number has changed.
    """
    import ray
    from ray.exceptions import ActorDiedError, OutOfMemoryError, RayActorError, WorkerCrashedError

    if not ray.is_initialized():  # of a run without Ray, which has let no group come here
        fit_alone(training)
        return
    machines = len(ray.nodes())
    node, workers, max_failures = training.node, training.node.workers, training.node.max_failures
    check_room(node, min(node.sizes))
    if workers == 1 and machines == 1 and maker is None:
        gpus = 1 if node.device == "cuda" else 0
        # the process ends with its task: determinism and threads are settings of a whole process
        task = ray.remote(num_cpus=node.threads, num_gpus=gpus, max_retries=max_failures, max_calls=1)(run_alone)
        try:
            ray.get(task.remote(training))
        except (OutOfMemoryError, WorkerCrashedError) as error:
            raise death_of("the training process", error, max_failures) from error
        return
    from ray.train import WorkerGroupError

    settings(workers, machines)
    require_cuda(node)
    for left in range(max_failures, -1, -1):
        try:
            _fit_group(training, name, maker)
            return
        except RayActorError as error:
            died = isinstance(error, ActorDiedError)  # else it may be alive where it cannot be reached
            if died:
                free_group(error.actor_id)
            if not died or not left:
                raise death_of("Ray Train's controller", error, max_failures) from error
        except WorkerGroupError as error:
            dead = [each for each in error.worker_failures.values() if isinstance(each, RayActorError)]
            if len(dead) < len(error.worker_failures):
                raise
            raise death_of("a training process", dead[0], max_failures) from error


def _fit_group(training: Training, name: str, maker: Packer | None) -> None:
    """Train with a group of Ray Train; raises RayActorError where its controller dies."""
    from ray.data import ExecutionOptions
    from ray.train import DataConfig, FailureConfig, LoggingConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    node, use_gpu = training.node, training.node.device == "cuda"
    # what Ray Train keeps of a run is of no use to a later one, and a kill may leave it half written
    tries = f"{name}-{os.urandom(4).hex()}"
    trainer = TorchTrainer(
        run_worker,
        train_loop_config={"training": training},
        datasets=None
        if maker is None
        else {
            "first": PassOfRows(maker, training.scratch, resumed=True),
            "later": PassOfRows(maker, training.scratch, resumed=False),
        },
        # the order of a pass is what a resumed run goes by
        dataset_config=DataConfig(execution_options=ExecutionOptions(preserve_order=True)),
        torch_config=group_config(backend="nccl" if use_gpu else "gloo", timeout_s=COLLECTIVE_SECONDS),
        scaling_config=ScalingConfig(
            num_workers=node.workers,
            elastic_resize_monitor_interval_s=RESIZE_SECONDS,
            use_gpu=use_gpu,
            resources_per_worker={"CPU": node.threads, **({"GPU": 1} if use_gpu else {})},
        ),
        run_config=RunConfig(
            name=tries,
            **Scratch(training.scratch).file_system("ray"),
            failure_config=FailureConfig(max_failures=node.max_failures),
            callbacks=[_notes_deaths(training.scratch)],
            logging_config=LoggingConfig(log_level="ERROR"),
            worker_runtime_env={"env_vars": {"OMP_NUM_THREADS": str(node.threads)}},
        ),
    )
    trainer.fit()


def _notes_deaths(scratch: Store | str) -> Any:
    """What the controller calls when workers are lost."""
    from ray.train import UserCallback

    class NotesDeaths(UserCallback):
        def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
            with suppress(OSError):  # the training starts again all the same
                deaths.note(Scratch(scratch), {rank: cause(one) for rank, one in worker_exceptions.items()})

    def cause(error: Exception) -> str | None:
        if type(error).__name__ == "WorkerHealthCheckFailedError":  # no public name of Ray's
            return None
        return f"{type(error).__name__}: {str(error).strip().splitlines()[-1] if str(error).strip() else ''}"

    return NotesDeaths()


def settings(workers: int | tuple[int, int], machines: int) -> None:
    """What Ray Train reads of the environment when a run starts; a run before, of another kind, leaves no trace."""
    wanted = dict(GIVEN)
    if GIVEN[WATCHER] is None and machines == 1:
        wanted[WATCHER] = "0"  # a single machine is never reclaimed: the watcher is one more process to start
    if not isinstance(workers, int):
        # Ray counts the room of a machine that is gone a while longer, and settles on a size anew only after this wait;
        # a group of a fixed size that waits no longer than that is merely tried again
        wanted[START_TIMEOUT] = str(START_SECONDS)
    for name, value in wanted.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    os.environ.setdefault("RAY_TRAIN_METRICS_ENABLED", "0")
