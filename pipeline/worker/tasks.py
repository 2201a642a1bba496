"""Keyed tasks, from their contexts to their receipts."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.contract import TaskPhase
from pipeline.store.binding import Binding
from pipeline.store.open import open_store
from pipeline.store.receipts import Receipt, commit, done_keys, read_receipt
from pipeline.worker.context import Receipts, TaskContext, Tell
from pipeline.worker.passes import peak_memory, portable


@dataclass(frozen=True)
class TaskOutcome:
    """A finished task's receipt, or what went wrong."""

    phase: str
    key: str
    receipt: Receipt | None = None
    error: BaseException | None = None
    trace: str = ""
    memory: int = 0  # peak of the worker process so far, bytes


def run_task(
    binding: Binding, phase: str, key: str, tell: Tell | None = None, receipts: Receipts | None = None
) -> Receipt:
    """Run one task of a `TaskPhase` and commit it."""
    context = TaskContext(binding, phase, key, tell=tell, receipts=receipts)
    try:
        result = _phase(binding, phase).run(context, key)
        context.require_unchanged_sources()
        reads = [[*name, digest] for name, digest in context.reads.items()]
        return commit(context.store, binding.place.folder, phase, key, context.outputs, reads, result)
    finally:
        context.discard()


def run_onward(binding: Binding, phases: Sequence[str], key: str) -> list[TaskOutcome]:
    """A task of the first phase, then, when it is its only one, those of the other phases in turn, for as long as each
    has one task: in this process.

    The serial end of a small node is then one Ray task, not one for each phase, and a receipt that several of its
    phases read is parsed once. What they write is what tasks write that are sent one by one.
    """
    receipts: Receipts = {}
    outcomes: list[TaskOutcome] = []
    for phase in phases:
        try:
            if outcomes:
                binding = replace(binding, phases={**binding.phases, outcomes[-1].phase: [key]})
                key = phase  # until it has one, should naming it fail
                context = TaskContext(binding, phase, "keys", receipts=receipts)
                keys = _phase(binding, phase).keys(context)
                if len(keys) != 1 or context.stopping():
                    break
                (key,) = keys
            # there is one already when an earlier try of this Ray task came so far before its worker died
            receipt = read_receipt(open_store(binding.store), binding.place.folder, phase, key)
            receipt = receipt or run_task(binding, phase, key, receipts=receipts)
        except Exception as error:  # belongs to this task; what else can run goes on
            outcomes.append(TaskOutcome(phase, key, error=portable(error), trace=traceback.format_exc()))
            break
        outcomes.append(TaskOutcome(phase, key, receipt, memory=peak_memory()))
    return outcomes


def after_death(binding: Binding, phases: Sequence[str], key: str, error: BaseException) -> list[TaskOutcome]:
    """What a worker that died in `run_onward` has left: its receipts, and the error on the task that it died in."""
    store, folder = open_store(binding.store), binding.place.folder
    outcomes: list[TaskOutcome] = []
    for phase in phases:
        done = done_keys(store, folder, phase) & {key} if not outcomes else done_keys(store, folder, phase)
        if not done:
            return [*outcomes, TaskOutcome(phase, phase if outcomes else key, error=error, trace=str(error))]
        outcomes += [TaskOutcome(phase, each, read_receipt(store, folder, phase, each)) for each in done]
    return outcomes


def _phase(binding: Binding, name: str) -> TaskPhase:
    phase = next(p for p in binding.place.node.phases() if p.name == name)
    assert isinstance(phase, TaskPhase)
    return phase
