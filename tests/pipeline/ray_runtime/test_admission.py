"""Passes with actors begin when there are CPUs for them, also those of two drivers on one Ray."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from corpus import write_corpus
from model_nodes import Sizes
from nodes import Lines

from pipeline.contract import Resources
from pipeline.driver.execute import Options, run
from pipeline.graph import build
from pipeline.progress.watcher import Notice
from pipeline.ray_runtime.admission import admitted

HOLDS = """
import sys, time
from pipeline.ray_runtime import session
session.start(None, sys.argv[1])
from pipeline.ray_runtime.admission import admitted
with admitted(2, lambda: False, print) as may_begin:
    print(may_begin, flush=True)
    time.sleep(600)
"""


class _Kills:
    """Kills the other driver when it is said that its pass is awaited."""

    def __init__(self, pid: int) -> None:
        self.pid, self.lines = pid, []

    def notify(self, event) -> None:
        if isinstance(event, Notice):
            self.lines.append(event.text)
            if "another pass with actors" in event.text:
                os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        pass


@pytest.mark.long
def test_a_pass_waits_for_that_of_another_driver_and_goes_on_when_that_is_killed(local_ray, tmp_path):
    import ray

    address = ray.get_runtime_context().gcs_address
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, address], stdout=subprocess.PIPE, text=True, cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    ) as other:  # fmt: skip
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        watcher = _Kills(other.pid)
        docs = Lines(paths=write_corpus(tmp_path / "in", files=2, lines=10))
        node = Sizes(docs=docs, batch_rows=5, asks=Resources(actors=(1, 1)))
        found = run(build([node]), name="run", store=str(tmp_path / "store"), options=Options(cpus=2), watcher=watcher)
        assert other.wait() == -signal.SIGKILL
    assert len(found["sizes"].rows(["batch"])) == 20
    assert sum("another pass with actors" in line for line in watcher.lines) == 1


def test_passes_begin_together_where_both_fit_and_a_stop_ends_the_waiting(local_ray):
    lines: list[str] = []
    with admitted(1, lambda: False, lines.append) as first, admitted(1, lambda: False, lines.append) as second:
        assert first
        assert second
        assert lines == []
        with admitted(0.5, lambda: bool(lines), lines.append) as third:
            assert not third
    assert len(lines) == 1
    with admitted(64, lambda: False, lines.append) as alone:  # more than there is: Ray Data makes its pool smaller
        assert alone
    assert len(lines) == 1
