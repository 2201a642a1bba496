"""Phases whose code is in files of their own.

Such a file imports numpy and pyarrow, and a graph is built without these. So a phase holds functions that import its
file when a task runs. A node gives a function that returns the module of every phase by the name of the phase. The
function has `import` statements, because these tell the engine which code stands behind a node.

A file of keyed tasks has `task_keys(ctx)` and `run(ctx, key)`; one of a phase per shard has `start(ctx)`, and
`whole(ctx)` where its tasks take something from beyond their shard.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from pipeline.contract import Context, TaskPhase

Files = Callable[[], Mapping[str, ModuleType]]  # phase -> its module


def tasks(files: Files, phase: str, fields: tuple[str, ...] | None = None) -> TaskPhase:
    """Return a phase of keyed tasks; fields: see `TaskPhase`."""
    return TaskPhase(
        name=phase,
        keys=lambda ctx: files()[phase].task_keys(ctx),
        run=lambda ctx, key: files()[phase].run(ctx, key),
        fields=fields,
    )


def opener(files: Files, phase: str) -> Callable[[Context], Any]:
    """Return the `open` of a phase per shard."""
    return lambda ctx: files()[phase].start(ctx)


def beyond(files: Files, phase: str) -> Callable[[Context], Any]:
    """Return the `whole` of a phase per shard."""
    return lambda ctx: files()[phase].whole(ctx)
