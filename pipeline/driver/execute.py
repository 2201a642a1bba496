"""The driver: it walks the schedule until everything that was asked for is finished.

The driver keeps no truth: whatever it knows it has read from the store, and whatever it did stands in receipts. So it
may be killed between any two lines, and the same command goes on. This thread decides; the work is done in jobs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from pipeline.contract import Node, TaskPhase
from pipeline.driver import prepare
from pipeline.driver.actions import Actions
from pipeline.driver.at_work import AtWork, ends_told
from pipeline.driver.choice import is_here, require_possible
from pipeline.driver.cluster import RaySession
from pipeline.driver.commit import finish, require_kept, stale_keys, withdraw
from pipeline.driver.fanout import pass_work
from pipeline.driver.here import Here, JobsHere
from pipeline.driver.jobs import MOST_JOBS, Done, Ended, Failed, Job, Jobs, Message, Post, Runner
from pipeline.driver.keys import PhaseKeys
from pipeline.driver.ledger import Ledger
from pipeline.driver.on_ray import OnRay
from pipeline.driver.options import Options as Options
from pipeline.driver.plan import make_plan
from pipeline.driver.recording import claim_name, write_run
from pipeline.driver.reporter import Reporter
from pipeline.driver.schedule import Key, Schedule
from pipeline.driver.stop import STOPPING, StopSwitch
from pipeline.errors import LeaseHeld, LeaseLost, Stopped
from pipeline.files.address import Address
from pipeline.files.open_store import mark_store, open_store
from pipeline.files.secrets import masked_trace
from pipeline.graph import Graph
from pipeline.progress.history import earlier
from pipeline.progress.watcher import Finished, Notice, Started
from pipeline.results.holds import let_go
from pipeline.results.lease import Leases

if TYPE_CHECKING:
    from pipeline.progress.watcher import Watcher
    from pipeline.run import StoredRun

POLL_SECONDS = 0.2


def run(
    graph: Graph, *, name: str, store: str | Address, options: Options | None = None, recipe: str | None = None,
    watcher: Watcher | None = None,
) -> StoredRun:  # fmt: skip
    """Run a graph, or resume it. Raises `NodeFailed`, `Stopped`, `LeaseHeld` or a `UserError`."""
    from pipeline.run import StoredRun

    driver = Driver(graph, name, store, options or Options(), recipe, watcher)
    driver.run()
    sources = [s for node in graph.nodes for group in driver.state.sources(node).values() for s in group]
    return StoredRun(driver.store, driver.name, sources).attach(graph.names)


@dataclass
class Driver:
    """One walk over one graph."""

    graph: Graph
    name: str
    place: str | Address
    options: Options
    recipe: str | None
    watcher: Watcher | None

    def __post_init__(self) -> None:
        self.store = open_store(self.place)
        self.state = Ledger(self.graph, self.store)
        self.schedule = Schedule(self.graph, self.phase_done, self.finished)
        self.reporter = Reporter(self.graph.names, self.watcher, str(self.store))
        self.stop = StopSwitch(self._on_stop)
        self.keys = PhaseKeys(self.state, self.finished, cpus=self.options.cpus or os.cpu_count() or 1)
        self.jobs = Jobs(self.graph.names)
        self.cluster = RaySession(self.options.cpus, self.options.address, self._tell, lambda: self.jobs.told())
        self.here = self.options.here is True
        self.actions = Actions(self.state, self.keys.of, self.keys.context)
        self._unchecked: set[Node] = set()
        self._waiting: set[Node] = set()
        self._said: set[Node] = set()  # nodes of which it was said who holds them
        self._taken = False  # whether a node was taken since the store was last looked at

    # the walk --------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        self.cluster.look_again(self.here)
        if self.here:
            require_possible(self.state, self.finished)
        with self.cluster.explained():
            prepare.digest_sources(self.state, None if self.here else self._start_ray)
        mark_store(self.store)
        self.leases = Leases(self.store, tell=self._tell)
        try:
            prepare.hold_nodes(self.state, self.leases)
            self.name = claim_name(self.store, self.leases, self.name, self.graph)
            self.keys.stop_name = f"runs/{self.name}/stop-{os.getpid()}-{os.urandom(4).hex()}"
            prepare.withdraw_damaged(self.state, self._take)
            prepare.withdraw_overwritten(self.state, self._take, self.keys.context)
            plan = make_plan(self.state, self.name)
            prepare.check_space(self.state, plan)
            prepare.check_drift(self.state, self.options.accept_drift)
            write_run(self.leases, self.name, self.state, self.recipe, self.options)
            self.reporter.notify(Started(plan, earlier(self.store, self.name)))
            for line in ends_told(self.store, self.name):
                self._tell(line)
            if is_here(self.options, self.state, self.finished, self.cluster.started, self._tell):
                self.here, self.jobs = True, JobsHere(self.graph.names, receive=self._receive)
            self._unchecked = prepare.nodes_over_holes(self.state)
            with self.stop.listening():
                self._walk()
        finally:
            self.cluster.close()
            self.leases.close()
            let_go(self.leases)
            if self.keys.stop_name:
                self.store.delete(self.keys.stop_name)
        done = all(self.finished(node) for node in self.graph.targets)
        if self.stop.signal is not None and not done:
            raise Stopped(self.stop.signal)
        if self.reporter.failures:
            raise prepare.with_room_missing(self.reporter.first_failure(self.name), self.state, self.name)
        assert done, "nothing is left to do, and yet a node is not finished"
        require_kept(self.state)
        self.reporter.notify(Finished(self.name))

    def _walk(self) -> None:
        while True:
            for node in self._waiting:  # whoever holds it may have finished it by now
                self.state.reopen(node)
            self._waiting.clear()
            self._taken = False
            self._finish_ready()
            if not self.stop.stopping():
                busy = self.jobs.busy | {(n, p.name) for n in self.reporter.failed_nodes for p in self.graph.phases(n)}
                if self._link_ready(busy):
                    continue
                for job, work in self._new_jobs(busy):
                    self.jobs.start(job, work)
            if self.jobs.running:
                for message in self.jobs.messages(POLL_SECONDS):
                    self.cluster.heard(trouble=isinstance(message, Failed | Ended))
                    self._receive(message)
                self.cluster.require_ray()
                continue
            if self._taken and not self.stop.stopping():
                continue  # of a node that another driver had done, so nothing was due, and more may be ready now
            if self.stop.stopping() or not self._waiting:
                return
            if not self.options.wait:
                held = ", ".join(sorted(self.graph.names[node] for node in self._waiting))
                raise LeaseHeld(f"another driver holds {held}")
            self._say_waiting()
            time.sleep(POLL_SECONDS)

    def _say_waiting(self) -> None:
        for node in self._waiting - self._said:
            if holder := self.leases.told(self.state.folder(node)):
                self._said.add(node)
                self._tell(f"waiting for {self.graph.names[node]}: {holder}")

    def _on_stop(self) -> None:
        self._tell(STOPPING)
        self.store.write(self.keys.stop_name, b"stop\n")

    def _tell(self, text: str) -> None:
        self.reporter.notify(Notice(text))

    def _receive(self, message: Message) -> None:
        if isinstance(message, Done):
            self.state.note(message.node, message.receipt)
        self.reporter.receive(message)

    def _link_ready(self, busy: set[Key]) -> bool:
        """Link the tasks that another node has finished. Return whether any was: more may be due.

        Phases are asked in their order, since what is linked for one phase is what the next one reads.
        """
        ready = [*self.schedule.ready_tasks(busy), *self.schedule.ready_pass(busy)]
        return any([self.actions.link(node, phase) for node, phase in ready if self._take(node)])

    def _new_jobs(self, busy: set[Key]) -> Iterator[tuple[Job, Callable[[Post], None]]]:
        """Yield what can begin now: each keyed phase that is ready, then one pass over all phases that can join it."""
        for node, phase in self.schedule.ready_tasks(busy):
            if len(self.jobs.running) >= MOST_JOBS:
                return
            if (phase.place == "driver" and not self._has_cpus(phase)) or not self._take(node):
                continue
            keys = self.keys.of(node, phase)
            due = [key for key in keys if key not in self.state.done(node, phase.name)]
            if due:
                runner, binding = self._runner(), self.keys.binding(node)
                job = Job(((node, phase.name),), phase.resources.cpus if phase.place == "driver" else 0)
                yield job, partial(runner.tasks, node, phase, due, binding)
        joined = self.actions.until_written([r for r in self.schedule.ready_pass(busy) if self._take(r[0])])
        phases, works = pass_work(self.state, joined, self.keys.binding, self.actions.scores)
        if works:
            runner = self._runner()
            job = Job(tuple((node, phase.name) for node, phase in joined))
            yield job, partial(runner.shards, joined, phases, works)

    def _has_cpus(self, phase: TaskPhase) -> bool:
        """Return whether a trainer's workers find CPUs; begun without them it would only hold memory."""
        held = sum(job.cpus for job in self.jobs.running)
        return not held or phase.resources.cpus <= self.keys.cpus - held

    # what is done ----------------------------------------------------------------------------------------------------

    def finished(self, node: Node) -> bool:
        """Return whether a node is committed and nothing above it is being done again."""
        return node not in self._unchecked and self.state.manifest(node) is not None

    def phase_done(self, node: Node, name: str) -> bool:
        if self.state.manifest(node) is not None:
            return True
        if node in self.reporter.failed_nodes:
            return False
        try:
            keys = self.keys.known(node, next(p for p in self.graph.phases(node) if p.name == name))
        except Exception as error:  # a stage that cannot name its tasks is a failed node, not a failed driver
            self.reporter.failed(node, name, error, masked_trace())
            return False
        return keys is not None and self.state.has_done(node, name, keys)

    def _finish_ready(self) -> None:
        progress = True
        while progress:
            progress = False
            for node in self.schedule.ready_to_finish():
                if node in self.reporter.failed_nodes or not self._take(node):
                    continue
                try:
                    self._finish(node)
                except LeaseLost:  # we were stopped for longer than a lease; who has the node now will commit it
                    self.state.reopen(node)
                    self._waiting.add(node)
                    continue
                except Exception as error:  # a law that does not balance, a figure that cannot be drawn: this node's
                    self.reporter.failed(node, "commit", error, masked_trace())
                progress = True

    def _finish(self, node: Node) -> None:
        manifest = self.state.manifest(node)
        keys = manifest["phases"] if manifest else {p.name: self.keys.of(node, p) for p in self.graph.phases(node)}
        stale = stale_keys(self.state, node, keys)
        if stale:
            withdraw(self.state, node, stale)
            self._unchecked.discard(node)
            self.keys.forget(node)
            return
        if manifest is None and (words := finish(self.state, node, keys, self.leases, self.keys.stop_name)):
            self._tell(words)
        self._unchecked.discard(node)
        self.leases.release(self.state.folder(node))
        self.reporter.show(node, "done")

    # Ray and leases --------------------------------------------------------------------------------------------------

    def _start_ray(self) -> None:
        due = (phase for node in self.graph.nodes if not self.finished(node) for phase in self.graph.phases(node))
        self.keys.cpus = self.cluster.start(passes=any(not isinstance(phase, TaskPhase) for phase in due))

    def _runner(self) -> Runner:
        store, names, stopping = self.store.address, self.graph.names, self.stop.stopping
        if self.here:
            return Here(store, names, AtWork(self.store, self.name), stopping)
        self._start_ray()
        return OnRay(store, self.keys.stop_name, names, self.cluster.width, self.options.cpus, stopping)

    def _take(self, node: Node) -> bool:
        folder = self.state.folder(node)
        if self.leases.holds(folder):
            return True
        if self.leases.acquire(folder):
            self.state.reopen(node)  # whoever had it before us may have done some of its tasks
            self._taken = True
            return True
        self._waiting.add(node)
        return False
