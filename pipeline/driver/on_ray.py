"""The runner on Ray: keyed tasks are Ray tasks, and a pass is a pipeline of Ray Data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.contract import Node, RowPhase, ShardPhase, TaskPhase
from pipeline.driver.here import post_outcome, run_here
from pipeline.driver.jobs import Begun, Done, Failed, Logged, Post, Told
from pipeline.files.address import Address
from pipeline.files.process_folder import sweep
from pipeline.results.binding import Binding
from pipeline.worker.passes import PassPhase, ShardWork


@dataclass(frozen=True)
class OnRay:
    """Where results go, how wide Ray is asked to run, and whether the driver should stop."""

    store: Address
    stop_name: str
    names: Mapping[Node, str]
    width: Callable[[], int]
    most_cpus: int | None  # that the run may use of a larger cluster
    stopping: Callable[[], bool]

    def tasks(self, node: Node, phase: TaskPhase, due: Sequence[str], binding: Binding, post: Post) -> None:
        """Run the due tasks of a phase."""
        post(Begun(node, len(due)))
        if phase.place == "driver":
            for key in due:
                if not self.stopping():
                    run_here(node, phase, key, binding, post, self.stopping)
            return
        from pipeline.ray_runtime.tasks import run_tasks

        for outcome in run_tasks(binding, phase, due, self.width, self.stopping):
            if outcome.error is not None:
                post(Failed(node, outcome.key, outcome.error, outcome.trace))
            elif outcome.receipt is not None:
                post(Done(node, phase.name, outcome.receipt, outcome.memory))

    def shards(
        self, joined: Sequence[tuple[Node, RowPhase | ShardPhase]], phases: Sequence[PassPhase],
        works: Sequence[ShardWork], post: Post,
    ) -> None:  # fmt: skip
        """Run one pass over the shards that are due."""
        from pipeline.ray_runtime.passes import Pass

        for i, (node, _) in enumerate(joined):
            post(Begun(node, sum(i in work.due for work in works)))
        names = [self.names[node] for node, _ in joined]
        ray_pass = Pass(self.store, phases, names, works, self.stop_name, self.width, self.most_cpus)
        for outcomes in ray_pass.run(self.stopping, lambda text: post(Told(text))):
            for outcome in outcomes:
                post_outcome(joined, outcome, post)
        sweep()  # what actors of the pass have left that were killed with it
        for stats in ray_pass.stats:
            post(Logged(joined[0][0], "pass", {"stats": stats}))
