"""The runner without Ray: the driver's own process does the work, one task after the other.

Same tasks, same receipts and same bytes as on Ray. The work stays in the thread of the walk, since some libraries do
not outlive the thread that they began in. A task that asks for a process of its own gets one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.contract import Node, RowPhase, ShardPhase, TaskPhase
from pipeline.driver.at_work import AtWork
from pipeline.driver.jobs import Begun, Done, Ended, Failed, Job, Jobs, Logged, Message, Post
from pipeline.errors import Stopped
from pipeline.files.address import Address
from pipeline.files.secrets import masked_error, masked_trace
from pipeline.results.binding import Binding
from pipeline.worker import opened
from pipeline.worker.context import Receipts
from pipeline.worker.fresh import run_fresh
from pipeline.worker.passes import Outcome, Parcel, PassPhase, ShardWork, peak_memory, try_part
from pipeline.worker.tasks import run_task


@dataclass
class JobsHere(Jobs):
    """Jobs of this thread, one after the other. `receive` is given their messages as they come."""

    receive: Callable[[Message], None] = field(kw_only=True)
    _waiting: deque[tuple[Job, Callable[[Post], None]]] = field(default_factory=deque)

    def start(self, job: Job, work: Callable[[Post], None]) -> None:
        self.running.append(job)
        self._waiting.append((job, work))

    def messages(self, seconds: float) -> Iterator[Message]:
        """Do the oldest job; yield that it has ended."""
        job, work = self._waiting.popleft()
        error = None
        try:
            work(self.receive)
        except Exception as found:
            error = found
        self.running.remove(job)
        yield Ended(job, error)


@dataclass(frozen=True)
class Here:
    """Where results go, what is at work, and whether the driver should stop."""

    store: Address
    names: Mapping[Node, str]
    at_work: AtWork
    stopping: Callable[[], bool]

    def tasks(self, node: Node, phase: TaskPhase, due: Sequence[str], binding: Binding, post: Post) -> None:
        """Run the due tasks of a phase."""
        post(Begun(node, len(due)))
        for key in due:
            if self.stopping():
                return
            with self.at_work.on(self.names[node], key):
                run_here(node, phase, key, binding, post, self.stopping)

    def shards(
        self, joined: Sequence[tuple[Node, RowPhase | ShardPhase]], phases: Sequence[PassPhase],
        works: Sequence[ShardWork], post: Post,
    ) -> None:  # fmt: skip
        """Run one pass over the shards that are due."""
        for i, (node, _) in enumerate(joined):
            post(Begun(node, sum(i in work.due for work in works)))
        opened.keep_only(opened.name_of(phase.binding, phase.phase) for phase in phases)
        try:
            part = range(self._prepared(joined, phases, post))
            receipts: Receipts = {}
            for work in works:
                if self.stopping():
                    return
                work = replace(work, due=tuple(i for i in work.due if i in part))
                name = "+".join(dict.fromkeys(self.names[joined[i][0]] for i in work.due))
                with self.at_work.on(name, work.base.shard.name):
                    for outcome in try_part(self.store, phases, part, Parcel(work), receipts).outcomes:
                        post_outcome(joined, outcome, post)
        finally:
            opened.keep_only(())

    def _prepared(self, joined: Sequence[tuple[Node, Any]], phases: Sequence[PassPhase], post: Post) -> int:
        """Open what phases hold from their first shard to their last. Return how many phases can run: those before one
        that cannot be opened.
        """
        for index, phase in enumerate(phases):
            if phase.spec().resources.held:
                try:
                    opened.prepare(phase.binding, phase.spec())
                except Exception as error:
                    post(Failed(joined[index][0], "load", masked_error(error), masked_trace()))
                    return index
        return len(phases)


def run_here(
    node: Node, phase: TaskPhase, key: str, binding: Binding, post: Post, stopping: Callable[[], bool]
) -> None:
    """Run a task in this thread, or in a process of its own where it wants that."""

    def log_event(kind: str, values: dict[str, Any]) -> None:
        post(Logged(node, kind, values))

    try:
        if phase.fresh:
            receipt, memory = run_fresh(binding, phase.name, key)
        else:
            receipt, memory = run_task(binding, phase.name, key, log_event), peak_memory()
    except Exception as error:  # belongs to this task; what else can run goes on
        if not (isinstance(error, Stopped) and stopping()):
            post(Failed(node, key, error, masked_trace()))
    else:
        post(Done(node, phase.name, receipt, memory))


def post_outcome(joined: Sequence[tuple[Node, RowPhase | ShardPhase]], outcome: Outcome, post: Post) -> None:
    """Post what came of one phase over one shard."""
    node, phase = joined[outcome.index]
    if outcome.error is not None:
        post(Failed(node, outcome.shard, outcome.error, outcome.trace))
    elif outcome.receipt is not None:
        post(Done(node, phase.name, outcome.receipt, outcome.memory))
