"""Who does the work of a run: this process, or Ray."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator

from pipeline.contract import Node, Phase, TaskPhase
from pipeline.driver.ledger import Ledger
from pipeline.driver.options import Options
from pipeline.driver.plan import TEXT_PER_DOCUMENT, predicted_sizes
from pipeline.errors import UserError

START_SECONDS = 12.0  # of CPU, what the start of a local Ray costs
TEXT_PER_SECOND = 1_000_000  # bytes that a phase does at least; most do ten times as many
TASK_SECONDS = 0.01  # of CPU that a task costs beside its text
FRESH_SECONDS = 1.0  # of CPU that a process of its own costs


def is_here(
    options: Options, state: Ledger, finished: Callable[[Node], bool], on_ray: bool, tell: Callable[[str], None]
) -> bool:
    """Return whether this process does the work. `on_ray`: Ray has been started already."""
    if options.here is not None:
        return options.here
    if on_ray or options.address or os.environ.get("RAY_ADDRESS"):
        return False
    seconds = predicted(state, finished, options.documents)
    if seconds is None or seconds >= START_SECONDS:
        return False
    if seconds:
        work = f"at most {math.ceil(seconds)} s of work"
        tell(f"{work}, less than Ray takes to start: this process does it (--on-ray: Ray does)")
    return True


def predicted(state: Ledger, finished: Callable[[Node], bool], documents: int | None) -> float | None:
    """Return the CPU seconds that are to do at most, None where text does not tell: models, devices, trainings.

    What is known before a run is the bytes of its sources and its phases. Every phase is taken for a slow one.
    """
    seconds, sizes = 0.0, predicted_sizes(state.graph, state)
    for node in state.graph.nodes:
        if finished(node):
            continue
        phases = state.graph.phases(node)
        tasks = [phase for phase in phases if isinstance(phase, TaskPhase)]
        if any(phase.resources.held for phase in phases) or any(phase.workers for phase in tasks):
            return None
        _, text = sizes[node]
        if documents is not None:
            text = min(text, documents * TEXT_PER_DOCUMENT)
        passes = len(phases) - len(tasks) + bool(tasks)  # of the rounds of an iteration few run
        seconds += passes * (text / TEXT_PER_SECOND + TASK_SECONDS)
        seconds += FRESH_SECONDS * any(phase.fresh for phase in tasks)
    return seconds


def require_possible(state: Ledger, finished: Callable[[Node], bool]) -> None:
    """Raise UserError for work that a process without Ray cannot do."""
    for node in state.graph.nodes:
        for phase in () if finished(node) else state.graph.phases(node):
            for wanted in _beyond(phase):
                raise UserError(
                    f"{state.graph.names[node]}, {phase.name}", f"it asks for {wanted}",
                    "work that one process does on CPUs, without Ray", "leave out --here, or run with --on-ray",
                )  # fmt: skip


def _beyond(phase: Phase) -> Iterator[str]:
    if phase.resources.gpus:
        yield f"{phase.resources.gpus:g} GPUs"
    if isinstance(phase, TaskPhase) and phase.workers > 1:
        yield f"a group of {phase.workers} workers"
