"""What a worker process has opened: row functions and loaded models, kept from shard to shard.

A pass keeps all that it opens, however many nodes it joins. When a later pass opens something, what earlier passes
opened goes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pipeline.contract import RowPhase, ShardPhase
from pipeline.files.address import Address
from pipeline.results.binding import Binding
from pipeline.worker.context import TaskContext

Name = tuple[str, str, Address]  # (fingerprint, phase, store)

_functions: dict[Name, Any] = {}
_loaded: dict[Name, tuple[Any, dict[tuple[str, str, str], str]]] = {}


def keep_only(names: Iterable[Name]) -> None:
    """Drop all that no phase of the present pass needs."""
    wanted = set(names)
    for cache in (_functions, _loaded):
        for name in [name for name in cache if name not in wanted]:
            del cache[name]


def name_of(binding: Binding, phase: str) -> Name:
    return (binding.place.fingerprint, phase, binding.store)


def load(binding: Binding, phase: RowPhase | ShardPhase) -> tuple[Any, dict[tuple[str, str, str], str]]:
    """Return what the phase's `load` returned in this worker, and the digests of what it read."""
    name = name_of(binding, phase.name)
    if name not in _loaded:
        assert phase.load is not None
        context = TaskContext(binding, phase.name, "load")
        _loaded[name] = phase.load(context), dict(context.reads)
    return _loaded[name]


def open_once(binding: Binding, phase: RowPhase) -> Any:
    """Return the row function of a phase that is opened once per worker."""
    name = name_of(binding, phase.name)
    if name not in _functions:
        _functions[name] = phase.open(TaskContext(binding, phase.name, "open"))
    return _functions[name]


def prepare(binding: Binding, phase: RowPhase | ShardPhase) -> None:
    """Open or load what the phase needs before its first row."""
    if phase.load is not None:
        load(binding, phase)
    if isinstance(phase, RowPhase) and not phase.per_shard:
        open_once(binding, phase)
