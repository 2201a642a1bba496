"""Keyed tasks, from their contexts to their receipts."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.contract import TaskPhase
from pipeline.errors import Stopped
from pipeline.files.secrets import masked_error, masked_trace
from pipeline.results.binding import Binding
from pipeline.results.receipts import Receipt, commit
from pipeline.worker.context import LogEvent, TaskContext
from pipeline.worker.passes import peak_memory


@dataclass(frozen=True)
class TaskOutcome:
    """The receipt of a finished task, or its error; neither where it was asked to stop."""

    key: str
    receipt: Receipt | None = None
    error: BaseException | None = None
    trace: str = ""
    memory: int = 0  # peak of the worker process so far, bytes


def run_task(binding: Binding, phase: str, key: str, log_event: LogEvent | None = None) -> Receipt:
    """Run one task of a `TaskPhase`, commit it and return its receipt."""
    context = TaskContext(binding, phase, key, log_event=log_event)
    try:
        result = _phase(binding, phase).run(context, key)
        context.require_unchanged_sources()
        reads = [[*name, digest] for name, digest in context.reads.items()]
        return commit(
            context.store,
            binding.place.folder,
            phase,
            key,
            context.outputs,
            reads,
            result,
            binding.place.node.deterministic,
        )
    finally:
        context.discard()


def try_task(binding: Binding, phase: str, key: str) -> TaskOutcome:
    """Run one task; return its outcome, with its error in a form that can cross a process border."""
    try:
        return TaskOutcome(key, run_task(binding, phase, key), memory=peak_memory())
    except Stopped as error:
        asked = TaskContext(binding, phase, key).stopping()
        return TaskOutcome(key, error=None if asked else error)
    except Exception as error:  # belongs to this task; the other tasks of the phase go on
        return TaskOutcome(key, error=masked_error(error), trace=masked_trace())


def _phase(binding: Binding, name: str) -> TaskPhase:
    phase = next(p for p in binding.place.node.phases() if p.name == name)
    assert isinstance(phase, TaskPhase)
    return phase
