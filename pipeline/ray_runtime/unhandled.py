"""Errors of Ray's own helper actors. Nobody asks for their results, so Ray prints a trace for each call that fails."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

LOGGER = "ray._private.worker"
BEGIN = "Unhandled error"
CALL = re.compile(r"ray::(?P<actor>\w+)[^\s(]*\(|class_name: (?P<named>\w+)")


class Unhandled(logging.Filter):
    """Tells one line for each helper that fails, in the place of Ray's traces. A run loses nothing by that: the driver
    asks for every result that it needs, and gets the error as its answer.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__()
        self._tell, self._said = tell, set[str]()

    def open(self) -> None:
        logging.getLogger(LOGGER).addFilter(self)

    def close(self) -> None:
        logging.getLogger(LOGGER).removeFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if not text.startswith(BEGIN):
            return True
        found = CALL.search(text)
        name = (found["actor"] or found["named"]) if found else "a task"
        if name not in self._said:
            self._said.add(name)
            cause = [line.strip() for line in text.splitlines() if line.strip()][-1]
            self._tell(f"a helper of Ray has failed ({name}: {cause}); the run goes on, and no result depends on it")
        return False
