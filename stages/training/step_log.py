"""The log of a training's steps, for whoever watches it: one line of JSON a step, written as the step ends.

It lies in scratch and is no data. A run that goes on from step n finds the lines 0 to n - 1 and writes on from there:
what a dead run wrote later is cut off, and a line that did not reach the disk is made again from the record, without
its rate. So no step is missing or there twice.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

from stages.training.scratch import Scratch

LOG = "metrics/steps.jsonl"
UPLOAD_SECONDS = 10.0  # between copies to an object store, which cannot append


class StepLog:
    """Of the first process. `known(step)`: the values of a step before `step`, from the record."""

    def __init__(self, scratch: Scratch, step: int, known: Callable[[int], Mapping[str, Any]]) -> None:
        self.scratch = scratch
        kept = whole_lines(scratch.read(LOG) or b"")[:step]
        kept += [_line(known(number)) for number in range(len(kept), step)]
        scratch.write(LOG, b"".join(kept))
        if scratch.local is not None:
            self._file: Any = open(scratch.local / LOG, "ab")
        else:
            self._file = tempfile.TemporaryFile()
            self._file.writelines(kept)
        self._uploaded = time.monotonic()

    def add(self, values: Mapping[str, Any]) -> None:
        """Append a step; what is not finite is null."""
        self._file.write(_line(values))
        self._file.flush()
        if self.scratch.local is None and time.monotonic() - self._uploaded >= UPLOAD_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Return when all lines are safe; called before a checkpoint, so that it never knows more than the log."""
        if self.scratch.local is not None:
            os.fsync(self._file.fileno())
            return
        self._file.seek(0)
        self.scratch.write(LOG, self._file.read())
        self._uploaded = time.monotonic()

    def __enter__(self) -> StepLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.sync()
        self._file.close()


def whole_lines(data: bytes) -> list[bytes]:
    """The lines of steps 0, 1, 2 and so on, up to the first that is torn or of another step."""
    found: list[bytes] = []
    for line in data.splitlines(keepends=True):
        try:
            if not line.endswith(b"\n") or json.loads(line)["step"] != len(found):
                break
        except (ValueError, KeyError, TypeError):
            break
        found.append(line)
    return found


def _line(values: Mapping[str, Any]) -> bytes:
    return (json.dumps({name: _finite(value) for name, value in values.items()}) + "\n").encode()


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return [_finite(one) for one in value] if isinstance(value, list) else value
