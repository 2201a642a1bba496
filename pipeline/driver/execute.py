"""The driver: walks the schedule until everything asked for is finished.

It keeps no truth: whatever it knows it read from the store, and whatever it did stands in receipts, so it may be
killed between any two lines and the same command goes on. One thread decides (this one); each pass and each keyed
phase is a job in a thread of its own, and their work is done by Ray.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.contract import Node, TaskPhase
from pipeline.driver.bulletin import Bulletin
from pipeline.driver.commit import finish, stale_keys, withdraw
from pipeline.driver.fanout import pass_work
from pipeline.driver.plan import make_plan
from pipeline.driver.prepare import check_drift, check_room, digest_sources, nodes_over_holes, withdraw_damaged
from pipeline.driver.reuse import link_equal_tasks, link_finished_phase
from pipeline.driver.schedule import Key, Schedule
from pipeline.errors import LeaseHeld, LeaseLost, Stopped
from pipeline.graph import Graph
from pipeline.store.lease import Leases
from pipeline.store.objects import open_store
from pipeline.store.receipts import Receipt
from pipeline.store.record import choose_name, write_run
from pipeline.store.state import State, per_shard
from pipeline.worker.context import TaskContext

if TYPE_CHECKING:
    from pipeline.driver.progress import Watcher
    from pipeline.run import Run

POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Options:
    """How to run; none of it can change a byte."""

    cpus: int | None = None
    address: str | None = None
    wait: bool = True
    accept_drift: bool = False


def run(
    graph: Graph, *, name: str, store: str, options: Options | None = None, recipe: str | None = None,
    watcher: Watcher | None = None,
) -> Run:  # fmt: skip
    """Run a graph, or go on with it. Raises `NodeFailed`, `Stopped`, `LeaseHeld` or a `UserError`."""
    from pipeline.run import Run

    driver = Driver(graph, name, store, options or Options(), recipe, watcher)
    driver.run()
    return Run(driver.store, driver.name).attach(graph.names)


@dataclass
class Driver:
    """One walk over one graph."""

    graph: Graph
    name: str
    root: str
    options: Options
    recipe: str | None
    watcher: Watcher | None

    def __post_init__(self) -> None:
        self.store = open_store(self.root)
        self.state = State(self.graph, self.store)
        self.schedule = Schedule(self.graph, self.phase_done, self.finished)
        self.bulletin = Bulletin(self.graph.names, self.watcher)
        self.signal: int | None = None
        self._unchecked: set[Node] = set()
        self._keys: dict[Key, list[str]] = {}
        self._compared: set[Key] = set()  # phases of bases whose tasks were looked for in other nodes
        self._failed: set[Node] = set()
        self._waiting: set[Node] = set()
        self._taken = False  # a node, since the store was last looked at
        self._driven: dict[Key, float] = {}  # driver phases at work -> CPUs that their workers hold
        self._started_ray = False
        self._workers = self.options.cpus or os.cpu_count() or 1
        self._width: Callable[[], int]

    # the walk --------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        digest_sources(self.state, self._start_ray)
        self.name = choose_name(self.store, self.name, self.graph)
        self.stop_name = f"runs/{self.name}/stop-{os.getpid()}-{os.urandom(4).hex()}"
        self.leases = Leases(self.store)
        try:
            withdraw_damaged(self.state, self._take)
            plan = make_plan(self.graph, self.store, self.name)
            check_room(self.state, plan)
            check_drift(self.state, self.options.accept_drift)
            write_run(self.store, self.name, self.graph, self.state, self.recipe)
            self.bulletin.tell("started", plan)
            self._unchecked = nodes_over_holes(self.state)
            pool = futures.ThreadPoolExecutor(16, "job")
            try:
                with self._signals():
                    self._walk(pool)
            finally:
                # After a walk that ended well no job is left; an error of ours must not wait for jobs that may hang.
                pool.shutdown(wait=False, cancel_futures=True)
        finally:
            self.leases.close()
            self.store.delete(self.stop_name)
        done = all(self.finished(node) for node in self.graph.targets)
        if self.signal is not None and not done:
            raise Stopped(self.signal)
        if self.bulletin.failures:
            raise self.bulletin.first_failure(self.name)
        assert done, "nothing is left to do, and yet a node is not finished"
        self.bulletin.tell("finished", self.name)

    def _walk(self, pool: futures.Executor) -> None:
        jobs: dict[futures.Future, list[tuple[Node, str]]] = {}
        while True:
            for node in self._waiting:  # whoever holds it may have finished it by now
                self.state.reopen(node)
            self._waiting.clear()
            self._taken = False
            self._finish_ready()
            if self.signal is None:
                busy = {key for keys in jobs.values() for key in keys}
                busy |= {(node, phase.name) for node in self._failed for phase in self.graph.phases(node)}
                if self._link_ready(busy):
                    continue
                for keys, work in self._new_jobs(busy):
                    jobs[pool.submit(work)] = keys
            if not jobs:
                if self._taken and self.signal is None:
                    continue  # of a node that another driver had done, so nothing was due, and more may be ready now
                if self.signal is not None or not self._waiting:
                    return
                if not self.options.wait:
                    held = ", ".join(sorted(self.graph.names[node] for node in self._waiting))
                    raise LeaseHeld(f"another driver holds {held}")
                time.sleep(POLL_SECONDS)
                continue
            done, _ = futures.wait(jobs, timeout=POLL_SECONDS, return_when=futures.FIRST_COMPLETED)
            for job in done:
                keys = jobs.pop(job)
                for key in keys:
                    self._driven.pop(key, None)
                if (error := job.exception()) is not None:
                    self._note_crash(keys, error)

    def _link_ready(self, busy: set[Key]) -> bool:
        """Link phases, and tasks of a base, that another node has finished; whether any was: more may be ready now."""
        ready = [*self.schedule.ready_tasks(busy), *self.schedule.ready_pass(busy)]
        linked = [link_finished_phase(self.state, node, phase) for node, phase in ready if self._take(node)]
        for node, phase in ready:
            if node.content_keys and (node, phase.name) not in self._compared and self._take(node):
                self._compared.add((node, phase.name))
                linked.append(link_equal_tasks(self.state, node, phase, self._phase_keys(node, phase)))
        return any(linked)

    def _new_jobs(self, busy: set[Key]) -> Iterator[tuple[list[Key], Any]]:
        room = self._workers - sum(self._driven.values())
        for node, phase in self.schedule.ready_tasks(busy):
            if phase.place == "driver" and self._driven and phase.cpus > room:
                continue  # a trainer begun without room for its workers would only hold memory
            if not self._take(node):
                continue
            keys = self._phase_keys(node, phase)
            due = [key for key in keys if key not in self.state.done(node, phase.name)]
            if due:
                self._start_ray()
                if phase.place == "driver":
                    self._driven[node, phase.name] = phase.cpus
                    room -= phase.cpus
                binding = self._binding(node)
                phases = self.schedule.onward(node, phase) if len(keys) == 1 else [phase]
                yield (
                    [(node, each.name) for each in phases],
                    lambda n=node, p=phases, d=due, b=binding: self._run_tasks(n, p, d, b),
                )
        joined = [step for step in self.schedule.ready_pass(busy) if self._take(step[0])]
        steps, works = pass_work(self.state, joined, self._binding)
        if works:
            self._start_ray()
            yield [(node, phase.name) for node, phase in joined], lambda: self._run_pass(joined, steps, works)

    # jobs (each in a thread of its own) ---------------------------------------------------------------------

    def _run_tasks(self, node: Node, phases: Sequence[TaskPhase], due: Sequence[str], binding) -> None:
        self.bulletin.begin(node, len(due))
        phase = phases[0]
        if phase.place == "driver":
            from pipeline.worker.tasks import run_task

            def tell(kind: str, values: dict[str, Any]) -> None:
                self.bulletin.event(node, kind, values)

            for key in due:
                if self.signal is not None:
                    return
                try:
                    receipt = run_task(binding, phase.name, key, tell)
                except Stopped:
                    return
                except Exception as error:  # belongs to this task; what else can run goes on
                    self._note_failure(node, key, error, traceback.format_exc())
                else:
                    self._note_receipt(node, phase.name, receipt)
            return
        from pipeline.ray_runtime.tasks import run_tasks

        for outcomes in run_tasks(binding, phases, due, self._width, self._stopping):
            self.bulletin.begin(node, len(outcomes) - 1)  # those that the worker went on with
            for outcome in outcomes:
                if outcome.error is not None:
                    self._note_failure(node, outcome.key, outcome.error, outcome.trace)
                elif outcome.receipt is not None:
                    self._note_receipt(node, outcome.phase, outcome.receipt, outcome.memory)

    def _run_pass(self, joined, steps, works) -> None:
        from pipeline.ray_runtime.passes import run_pass

        for i, (node, _) in enumerate(joined):
            self.bulletin.begin(node, sum(i in work.due for work in works))
        for outcomes in run_pass(self.store.root, steps, works, self.stop_name, self._width, self._stopping):
            for outcome in outcomes:
                node, phase = joined[outcome.step]
                if outcome.error is not None:
                    self._note_failure(node, outcome.shard, outcome.error, outcome.trace)
                elif outcome.receipt is not None:
                    self._note_receipt(node, phase.name, outcome.receipt, outcome.memory)

    # progress -----------------------------------------------------------------------------------------------

    def finished(self, node: Node) -> bool:
        """Committed, and nothing above it is being done again."""
        return node not in self._unchecked and self.state.manifest(node) is not None

    def phase_done(self, node: Node, phase: str) -> bool:
        spec = next(p for p in self.graph.phases(node) if p.name == phase)
        manifest = self.state.manifest(node)
        if manifest is not None:
            return True
        if per_shard(spec):
            if not all(self.finished(base) for base in self.graph.input_chains(node)):
                return False
            keys = self.state.shard_keys(node)
        else:
            if not all(self.finished(parent) for _, _, parent in self.graph.inputs(node)):
                return False
            try:
                keys = self._phase_keys(node, spec)
            except Exception as error:  # a stage that cannot name its tasks is a failed node, not a failed driver
                self._note_failure(node, phase, error, traceback.format_exc())
                return False
        return self.state.has_done(node, phase, keys)

    def _phase_keys(self, node: Node, phase) -> list[str]:
        if per_shard(phase):
            return self.state.shard_keys(node)
        if (node, phase.name) not in self._keys:
            context = TaskContext(self._binding(node), phase.name, "keys")
            self._keys[node, phase.name] = [str(key) for key in phase.keys(context)]
        return self._keys[node, phase.name]

    def _binding(self, node: Node):
        own = {}
        for phase in self.graph.phases(node):
            keys = self._keys.get((node, phase.name))
            if per_shard(phase) and all(self.finished(base) for base in self.graph.input_chains(node)):
                keys = self.state.shard_keys(node)
            if keys is None or not self.state.has_done(node, phase.name, keys):
                break
            own[phase.name] = keys
        return self.state.binding(node, own, self.stop_name, self._workers)

    def _finish_ready(self) -> None:
        progress = True
        while progress:
            progress = False
            for node in self.schedule.ready_to_finish():
                if node in self._failed or not self._take(node):
                    continue
                try:
                    self._finish(node)
                except LeaseLost:  # we were stopped for longer than a lease; who has the node now will commit it
                    self.state.reopen(node)
                    self._waiting.add(node)
                    continue
                except Exception as error:  # a law that does not balance, a figure that cannot be drawn: this node's
                    self._note_failure(node, "commit", error, traceback.format_exc())
                progress = True

    def _finish(self, node: Node) -> None:
        manifest = self.state.manifest(node)
        keys = manifest["phases"] if manifest else {p.name: self._phase_keys(node, p) for p in self.graph.phases(node)}
        stale = stale_keys(self.state, node, keys)
        if stale:
            withdraw(self.state, node, stale)
            self._unchecked.discard(node)
            self._forget(node)
            return
        if manifest is None:
            manifest = finish(self.state, node, keys, self.leases, self.stop_name)
        self._unchecked.discard(node)
        self.leases.release(self.state.folder(node))
        self.bulletin.show(node, "done")

    def _forget(self, node: Node) -> None:
        for key in [key for key in self._keys if key[0] is node]:
            del self._keys[key]

    # Ray and leases -----------------------------------------------------------------------------------------

    def _start_ray(self) -> None:
        if not self._started_ray:
            from pipeline.ray_runtime import session
            from pipeline.ray_runtime.tasks import Width

            self._workers = session.start(self.options.cpus, self.options.address)
            self._width = Width(self.options.cpus)
            self._started_ray = True

    def _stopping(self) -> bool:
        return self.signal is not None

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

    # what came of a task --------------------------------------------------------------------------------------

    def _note_receipt(self, node: Node, phase: str, receipt: Receipt, memory: int = 0) -> None:
        self.state.note_done(node, phase, receipt.key)
        self.bulletin.done(node, receipt, memory)

    def _note_failure(self, node: Node, key: str, error: BaseException, trace: str = "") -> None:
        self._failed.add(node)
        self.bulletin.failed(node, key, error, trace)

    def _note_crash(self, keys: Sequence[Key], error: BaseException) -> None:
        trace = "".join(traceback.format_exception(error))
        for node, phase in keys:
            self._note_failure(node, phase, error, trace)

    # signals ------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """The first signal drains, the second ends at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def on_signal(number: int, frame: Any) -> None:
            if self.signal is not None:
                os._exit(128 + number)
            self.signal = number
            self.store.write(self.stop_name, b"stop\n")

        previous = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
