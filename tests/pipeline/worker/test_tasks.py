"""Keyed tasks: a task that stops when it is asked to has not failed."""

from __future__ import annotations

import signal
from dataclasses import dataclass

import pytest

from pipeline.contract import Context, Node, Result, TaskPhase, one
from pipeline.errors import Stopped
from pipeline.files.objects import LocalStore
from pipeline.results.binding import Binding, Place
from pipeline.worker.tasks import try_task


@dataclass(frozen=True, kw_only=True, eq=False)
class Long(Node):
    """A task that saves and stops."""

    def phases(self):
        return (TaskPhase(name="work", keys=one, run=self._work),)

    def _work(self, ctx: Context, key: str) -> Result:
        raise Stopped(signal.SIGTERM)


@pytest.mark.parametrize("asked", [True, False])
def test_a_task_that_stops_has_failed_only_if_nobody_asked_it_to(tmp_path, asked):
    store = LocalStore(str(tmp_path))
    if asked:
        store.write("runs/first/stop-1", b"stop")
    binding = Binding(store.root, Place(Long(), "0" * 64), {}, None, stop_name="runs/first/stop-1")
    outcome = try_task(binding, "work", "all")
    assert outcome.receipt is None
    assert (outcome.error is None) == asked
