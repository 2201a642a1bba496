"""The events that a driver reports while it runs, and the protocol of those who watch.

A watcher may be called from any thread. It never decides anything and may be left out. `pipeline.progress.lines` writes
lines for logs and for programs, `pipeline.progress.table` draws a live table on a terminal, and
`pipeline.progress.recorder` keeps the event log in the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

State = Literal["reused", "waiting", "running", "done", "failed"]


@dataclass(frozen=True)
class Started:
    """The walk begins; `plan` says what there is to do, `earlier` how long nodes took in earlier runs."""

    plan: Any
    earlier: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class NodeProgress:
    """Where one node stands. `memory` is the peak of its largest worker; `memory` and `bytes` count bytes."""

    name: str
    state: State = "waiting"
    phase: str = ""
    done: int = 0
    total: int = 0
    rows_in: int = 0
    rows_kept: int = 0
    bytes: int = 0
    memory: int = 0


@dataclass(frozen=True)
class TaskEvent:
    """What a running task reports (`Context.log`). `text` is the part of it that its node shows to people."""

    name: str
    kind: str
    values: Mapping[str, Any]
    text: str = ""


@dataclass(frozen=True)
class TaskFailed:
    """One task of a node has failed."""

    name: str
    key: str
    cause: BaseException | str
    trace: str = ""


@dataclass(frozen=True)
class Notice:
    """One line for the reader: what the driver is busy with, or how it takes a signal."""

    text: str


@dataclass(frozen=True)
class Finished:
    """Everything that was asked for is finished."""

    run: str


Event = Started | NodeProgress | TaskEvent | TaskFailed | Notice | Finished


class Watcher(Protocol):
    """Whoever wants to know how a run is going."""

    def notify(self, event: Event) -> None: ...

    def close(self) -> None: ...


class Watchers:
    """Notifies several watchers, in their order."""

    def __init__(self, *watchers: Watcher) -> None:
        self.watchers = watchers

    def notify(self, event: Event) -> None:
        for watcher in self.watchers:
            watcher.notify(event)

    def close(self) -> None:
        for watcher in self.watchers:
            watcher.close()
