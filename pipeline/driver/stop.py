"""How a driver takes signals: the first one drains what runs, the second one ends the process at once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
STOPPING = "stopping: no task is begun any more, those that run are finished and kept; press Ctrl-C again to stop now"


class StopSwitch:
    """Remembers the first signal. `on_stop` is called once, from another thread: a handler may not print, and the walk
    may be at a task.
    """

    def __init__(self, on_stop: Callable[[], None]) -> None:
        self.signal: int | None = None
        self._on_stop, self._came = on_stop, threading.Event()

    def stopping(self) -> bool:
        return self.signal is not None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM while it is open; does nothing outside the main thread, which has no signals."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        waiting = threading.Thread(target=self._wait, name="stop", daemon=True)
        waiting.start()
        previous = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
            self._came.set()
            waiting.join()

    def _on_signal(self, number: int, frame: Any) -> None:
        if self.signal is not None:
            os._exit(128 + number)
        self.signal = number
        self._came.set()

    def _wait(self) -> None:
        self._came.wait()
        if self.signal is not None:
            self._on_stop()
