"""The event log of a run: what happened when, where, and in which process. Clocks stand here and nowhere in the data.

One append-only segment of JSON lines per driver, `runs/<name>/events/<driver>.jsonl`, so that drivers never write to
one file. On a file system a line is there once `write` returns; on an object store, which cannot append, the segment
is published whole, at most every 30 seconds. Losing the end of a log loses no truth.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.files.objects import LocalStore, Store
from pipeline.files.refusals import explained
from pipeline.files.secrets import masked_json

PUBLISH_SECONDS = 30.0


class EventLog:
    """The segment of this driver."""

    def __init__(self, store: Store, run: str) -> None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
        self.name = f"runs/{run}/events/{stamp}-{socket.gethostname()}-{os.getpid()}.jsonl"
        self._store, self._lock = store, threading.Lock()
        self._lines: list[str] = []
        self._published = time.monotonic()
        self._path: Path | None = None
        if isinstance(store, LocalStore):
            self._path = store.local(self.name)
            with explained(self._path.parent, "folder"):
                self._path.parent.mkdir(parents=True, exist_ok=True)
        self.write("driver", host=socket.gethostname(), pid=os.getpid())

    def write(self, event: str, **values: Any) -> None:
        """Append one event with the time, UTC."""
        entry = {"time": datetime.now(UTC).isoformat(), "event": event, **values}
        line = masked_json(entry) + "\n"
        with self._lock:
            if self._path is not None:
                with explained(self._path.parent, "folder"), self._path.open("a", encoding="utf-8") as file:
                    file.write(line)
                return
            self._lines.append(line)
            if time.monotonic() - self._published >= PUBLISH_SECONDS:
                self._publish()

    def close(self) -> None:
        """Publish the lines that are not yet on the object store."""
        with self._lock:
            if self._path is None:
                self._publish()

    def _publish(self) -> None:
        self._store.write(self.name, "".join(self._lines).encode())
        self._published = time.monotonic()


def read_events(store: Store, run: str) -> Iterator[dict[str, Any]]:
    """All events of a run, driver after driver, each with `driver`; a torn last line is left out."""
    folder = f"runs/{run}/events"
    for name in store.names(folder):
        for line in (store.read(f"{folder}/{name}") or b"").split(b"\n"):
            try:
                event = json.loads(line)
            except ValueError:  # the end of a segment whose driver was killed while it wrote
                continue
            if not isinstance(event, dict) or not {"time", "event"} <= event.keys():
                continue  # of a file that no driver has written
            yield {**event, "driver": name.removesuffix(".jsonl")}
