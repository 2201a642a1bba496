"""The watcher that keeps the event log of a run in its store.

The log helps people, and no result depends on it. So a log that cannot be written ends no run: the recorder says so
once and stops recording.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from pipeline.errors import StoreError
from pipeline.files.objects import Store
from pipeline.progress.watcher import Event, Finished, NodeProgress, Notice, Started, TaskEvent, TaskFailed
from pipeline.results.events import EventLog
from pipeline.safe_text import visible

OWN = ("time", "event", "node")  # fields of every event; a value of a task by such a name gets an underscore


class Recorder:
    """Records a run from its start: changes of nodes only, not every shard."""

    def __init__(self, store: Store, run: str) -> None:
        self._store, self._run = store, run
        self._log: EventLog | None = None
        self._states: dict[str, str] = {}
        self._lock = threading.Lock()

    def notify(self, event: Event) -> None:
        with self._guarded():
            if isinstance(event, Started):
                self._log = EventLog(self._store, getattr(event.plan, "name", None) or self._run)
            if self._log is not None:
                self._record(self._log, event)

    def close(self) -> None:
        with self._guarded():
            if self._log is not None:
                self._log.close()

    def _record(self, log: EventLog, event: Event) -> None:
        match event:
            case Started():
                entries = event.plan.entries
                log.write("started", actions={e.name: e.action for e in entries}, whys={e.name: e.why for e in entries})
            case NodeProgress():
                if self._changed(event):
                    values: dict[str, Any] = asdict(event)
                    log.write("node", node=values.pop("name"), **values)
            case TaskEvent():
                values = {f"{key}_" if key in OWN else key: value for key, value in event.values.items()}
                log.write(event.kind, node=event.name, **values)
            case TaskFailed():
                kind = type(event.cause).__name__
                log.write(
                    "failed", node=event.name, shard=event.key, cause=str(event.cause), kind=kind, trace=event.trace
                )
            case Notice():
                log.write("notice", text=event.text)
            case Finished():
                log.write("finished")

    def _changed(self, event: NodeProgress) -> bool:
        with self._lock:
            before, now = self._states.get(event.name), f"{event.state} {event.phase}"
            self._states[event.name] = now
        return before != now or bool(event.total and event.done == event.total)

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except (OSError, StoreError) as error:
            self._log = None
            with contextlib.suppress(OSError):  # the stream may be on the same full disk
                print(visible(f"the event log is not written any more: {error}"), file=sys.stderr, flush=True)
