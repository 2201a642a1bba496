"""kitoken, imported where it can do no harm.

Its allocator belongs to the thread that imports it first: once that thread has ended, a call in any thread that began
later ends the process with signal 11 (kitoken 0.11.1). So a thread that never ends imports it, and nothing else in the
project does. Threads may make and use its encoders as they like then.
"""

from __future__ import annotations

import threading
from functools import cache
from importlib import import_module
from types import ModuleType


@cache
def kitoken() -> ModuleType:
    """The library."""
    outcome: list[ModuleType | BaseException] = []
    known = threading.Event()

    def hold() -> None:
        try:
            outcome.append(import_module("kitoken"))
        except BaseException as error:  # whoever asked is told
            outcome.append(error)
        known.set()
        threading.Event().wait()

    threading.Thread(target=hold, name="kitoken", daemon=True).start()
    known.wait()
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]
