"""The training loop under Ray Train V2.

One `TorchTrainer` per run, for one process as for many. Its storage lies in the node's scratch folder and
its name is made of the node's fingerprint, so the same node goes on from its last checkpoint and another
configuration cannot find it. A worker that dies is replaced and the group goes back to the last registered
checkpoint; what the dead one recorded later is in no checkpoint, so no step is missing or doubled.

`fit` blocks; it is called from a thread of the driver, where Ray Train leaves the signal handlers alone.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from stages.training.checkpoint import PROGRESS, STOP, RunFiles, Wish
from stages.training.job import Job

WATCHER = "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"
START_TIMEOUT = "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"
GIVEN = {name: os.environ.get(name) for name in (WATCHER, START_TIMEOUT)}  # by the user or the engine
START_SECONDS = 30  # that a group of a pair of workers waits for its room before its size is settled anew
ASK_SECONDS = 2.0  # between questions whether a machine is about to be reclaimed
RESIZE_SECONDS = 60.0  # between looks whether the cluster has room for another number of workers
COLLECTIVE_SECONDS = 600  # a process that waits longer for another one fails, and the group is restarted


class RaySaver(RunFiles):
    """Checkpoints in Ray Train's storage; `save` is a barrier of all processes.

    Each process writes its part into a folder of its own, and `report` puts the parts together in the
    storage. That works alike for a storage on a disk of this machine, on a shared one and at a URI, and a
    checkpoint counts from the moment that the controller has the word of all processes: one that a kill cut
    short is never found again.
    """

    def __init__(self, scratch: str) -> None:
        super().__init__(scratch)
        self._asked, self._known = time.monotonic(), None

    def wish(self) -> Wish:
        wish = super().wish()
        if wish is Wish.STOP or os.environ.get(WATCHER) == "0" or time.monotonic() - self._asked < ASK_SECONDS:
            return wish
        self._asked = time.monotonic()
        return Wish.ASK

    def losing_machines(self) -> bool:
        import ray.train

        # a call of all workers that answers all alike; so it is made when the first process asks, not in each step
        info = ray.train.get_preemption_info()
        news = info is not None and info != self._known
        self._known = info
        return news

    @contextmanager
    def restore(self) -> Iterator[Path | None]:
        import ray.train

        checkpoint = ray.train.get_checkpoint()
        if checkpoint is None:
            yield None
            return
        with checkpoint.as_directory() as folder:
            yield Path(folder)

    def save(self, step: int, write: Callable[[Path], None]) -> None:
        import ray.train

        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder))
            # named by step: a checkpoint that is written a second time has the same name and the same content
            ray.train.report(
                {"step": step},
                checkpoint=ray.train.Checkpoint.from_directory(folder),
                checkpoint_dir_name=f"step_{step:010d}",
            )


def run_worker(config: dict[str, Any]) -> None:
    """What each process of the group runs."""
    import ray.train

    from stages.training.worker import train

    context = ray.train.get_context()
    job: Job = config["job"]
    saver = RaySaver(job.scratch)
    try:
        train(job, saver, context.get_world_rank(), context.get_world_size(), context.get_local_rank())
    except UserError as error:
        # all processes computed the same numbers and are here together; raising would only start them again
        if context.get_world_rank() == 0:
            saver.fail(error)


def fit(job: Job, name: str, workers: int | tuple[int, int], max_failures: int) -> None:
    """Train to the end, or to a wish to stop; raises Ray Train's error when a worker failed too often.

    With a pair of workers, Ray Train starts as many as the cluster has room for between the two, and starts
    the group anew from the last checkpoint when that number has changed.
    """
    import ray
    from ray.train import CheckpointConfig, FailureConfig, LoggingConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    settings(workers, len(ray.nodes()))
    least = workers if isinstance(workers, int) else workers[0]
    _check_cpus(least * job.threads)
    gpus = int(ray.cluster_resources().get("GPU", 0))
    use_gpu = job.device == "cuda" or (job.device == "auto" and gpus >= least)
    trainer = TorchTrainer(
        run_worker,
        train_loop_config={"job": job},
        torch_config=TorchConfig(backend="nccl" if use_gpu else "gloo", timeout_s=COLLECTIVE_SECONDS),
        scaling_config=ScalingConfig(
            num_workers=workers,
            elastic_resize_monitor_interval_s=RESIZE_SECONDS,
            use_gpu=use_gpu,
            resources_per_worker={"CPU": job.threads, **({"GPU": 1} if use_gpu else {})},
        ),
        run_config=RunConfig(
            name=name,
            storage_path=job.scratch,
            failure_config=FailureConfig(max_failures=max_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
            logging_config=LoggingConfig(log_level="ERROR"),
            worker_runtime_env={"env_vars": {"OMP_NUM_THREADS": str(job.threads)}},
        ),
    )
    trainer.fit()


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


def _check_cpus(wanted: int) -> None:
    """On a machine of one's own no CPU will ever be added, so waiting for more than it has would never end."""
    import ray

    have = int(ray.cluster_resources().get("CPU", 0))
    if have < wanted and len(ray.nodes()) == 1 and not os.environ.get("RAY_ADDRESS"):
        raise UserError(
            "pretrain.workers x threads", f"{wanted}", f"at most {have}, the CPUs of this Ray", "set workers: 1"
        )


class Watch:
    """While a run goes on: tells its progress, and passes a wish to stop on to it."""

    def __init__(self, files: RunFiles, stopping: Callable[[], bool], tell: Callable[[dict[str, Any]], None]) -> None:
        self.files, self._stopping, self._tell = files, stopping, tell
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="training-watch", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        told = None
        while not self._over.wait(0.5):
            if self._stopping() and not self.files.scratch.exists(STOP):
                self.files.scratch.write(STOP, b"")
            progress = self.files.scratch.read(PROGRESS)
            if progress is not None and progress != told:
                told = progress
                self._tell(json.loads(progress))
