"""Between the driver and a training that runs elsewhere: progress comes back, a request to stop goes there."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pipeline.errors import StoreError
from stages.training import deaths
from stages.training.checkpoint import PROGRESS, STOP, Saver


class Messenger:
    """While a run goes on: tells its progress, and what it has got over; passes a request to stop on to it."""

    def __init__(self, files: Saver, stopping: Callable[[], bool], tell: Callable[[dict[str, Any]], None]) -> None:
        self.files, self._stopping, self._tell, self._reported = files, stopping, tell, b""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="training-messenger", daemon=True)

    def __enter__(self) -> Messenger:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.5):
            # a store that does not answer for a moment is asked again: without this thread nothing stops the run
            with suppress(OSError, StoreError):
                self._look()

    def _look(self) -> None:
        if self._stopping() and not self.files.scratch.exists(STOP):
            self.files.scratch.write(STOP, b"")
        progress = self.files.scratch.read(PROGRESS)
        if progress is not None and progress != self._reported:
            self._reported = progress
            values = json.loads(progress)
            if (line := deaths.told(self.files.scratch, values)) is not None:
                values["notice"] = line
            self._tell(values)
