"""Phases whose code is in a file named after the phase.

Such a file imports numpy and pyarrow, and a graph is built without these. So a phase holds functions that import its
file when a task runs. A node gives a function that returns the modules of all its phases, written with `import`
statements, since the code behind a node is found by these.

A file of keyed tasks has `task_keys(ctx)` and `run(ctx, key)`; one of a phase per shard has `start(ctx)`, and
`whole(ctx)` where its tasks take something from beyond their shard.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from pipeline.contract import Context, TaskPhase

Files = Callable[[], Sequence[ModuleType]]


def tasks(files: Files, phase: str, fields: tuple[str, ...] | None = None) -> TaskPhase:
    """Return the phase of keyed tasks whose file has its name; fields: see `TaskPhase`."""
    return TaskPhase(
        name=phase,
        keys=lambda ctx: _file(files, phase).task_keys(ctx),
        run=lambda ctx, key: _file(files, phase).run(ctx, key),
        fields=fields,
    )


def opener(files: Files, phase: str) -> Callable[[Context], Any]:
    """Return the `open` of a phase per shard."""
    return lambda ctx: _file(files, phase).start(ctx)


def beyond(files: Files, phase: str) -> Callable[[Context], Any]:
    """Return the `whole` of a phase per shard."""
    return lambda ctx: _file(files, phase).whole(ctx)


def _file(files: Files, phase: str) -> ModuleType:
    return next(file for file in files() if file.__name__.endswith(f".{phase}"))
