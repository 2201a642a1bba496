"""One keyed task, from its context to its receipt."""

from __future__ import annotations

from pipeline.binding import Binding
from pipeline.context import TaskContext, Tell
from pipeline.contract import TaskPhase
from pipeline.receipts import Receipt, commit


def run_task(binding: Binding, phase: str, key: str, tell: Tell | None = None) -> Receipt:
    """Run one task of a `TaskPhase` and commit it."""
    context = TaskContext(binding, phase, key, tell=tell)
    spec = next(p for p in binding.place.node.phases() if p.name == phase)
    assert isinstance(spec, TaskPhase)
    try:
        result = spec.run(context, key)
        context.require_unchanged_sources()
        reads = [[*name, digest] for name, digest in context.reads.items()]
        return commit(context.store, binding.place.folder, phase, key, context.outputs, reads, result)
    finally:
        context.discard()
