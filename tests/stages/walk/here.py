"""A driver that does its work in its own process: the same plan, keys, links and tasks, without Ray."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipeline.driver.execute import Driver
from pipeline.driver.jobs import Begun, Done, Failed, Job, Jobs, Post, Runner
from pipeline.worker.passes import run_shard
from tests.stages.walk.work import Work


class Here(Jobs):
    """Jobs of the main thread, one after the other: some libraries do not outlive the thread that they began in."""

    def start(self, job: Job, work: Callable[[Post], None]) -> None:
        self.running.append(job)
        self._run(job, work)


@dataclass(frozen=True)
class InProcess(Runner):
    """Ends the process when so many tasks are done (`most`), as a kill would."""

    most: int | None = None

    def tasks(self, node, phase, due, binding, post) -> None:
        post(Begun(node, len(due)))
        for key in due:
            self._here(node, phase.name, [key], binding, self._counted(post))

    def shards(self, joined, phases, works, post) -> None:
        counted = self._counted(post)
        for i, (node, _) in enumerate(joined):
            post(Begun(node, sum(i in work.due for work in works)))
        for work in works:
            for outcome in run_shard(self.store, phases, work):
                node, phase = joined[outcome.index]
                if outcome.error is not None:
                    post(Failed(node, outcome.shard, outcome.error, outcome.trace))
                elif outcome.receipt is not None:
                    counted(Done(node, phase.name, outcome.receipt))

    def _counted(self, post: Post) -> Post:
        def counted(message: Any) -> None:
            post(message)
            if isinstance(message, Done):
                Work.task_done(self.most)

        return counted


@dataclass
class HereDriver(Driver):
    """`most`: after so many tasks the process ends as if it were killed."""

    most: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.jobs = Here(self.graph.names)
        self.keys.cpus = 1

    def _start_ray(self) -> None:
        pass

    def _runner(self) -> Runner:
        return InProcess(
            self.store.root, self.keys.stop_name, self.graph.names, lambda: 1, 1, self.stop.stopping, self.most
        )
