"""What a run tells Prometheus, at the endpoint of a real head, and what the board for Grafana asks of it."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from command_line import RECIPE, ROOT, write_documents

from pipeline.ray_runtime.metrics import COUNTERS, GAUGES, NODES
from tests.siftloom.test_submit import Head

OURS = re.compile(r"ray_(siftloom_\w+)")
# Ends when it is told to: Ray ends what a process counts with the process.
DRIVER = """
import sys
from siftloom.cli.main import app
app(["run", "small.yaml", "--address", "auto"], standalone_mode=False)
print("ready", flush=True)
sys.stdin.readline()
"""


def test_the_board_asks_for_what_is_counted():
    board = json.loads((ROOT / "clusters" / "grafana.json").read_text())
    asked = {name for panel in board["panels"] for each in panel["targets"] for name in OURS.findall(each["expr"])}
    assert asked == {*COUNTERS, *GAUGES, NODES}


@pytest.mark.faults  # starts a head whose agent collects, a minute of work beside the other tests' head
@pytest.mark.timeout(600)
def test_a_run_on_a_cluster_can_be_scraped(tmp_path: Path) -> None:
    write_documents(tmp_path / "docs")
    (tmp_path / "small.yaml").write_text(RECIPE)
    head = Head("disabled", counts=True)
    try:
        command = [sys.executable, "-c", DRIVER]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, cwd=tmp_path, env=head.env, text=True, **pipes) as driver:
            assert driver.stdout is not None
            assert any(line == "ready\n" for line in driver.stdout)
            assert scraped(head.metrics, "ray_siftloom_tasks_done_total", run="small", node="docs") >= 1
            assert scraped(head.metrics, "ray_siftloom_nodes", run="small", state="done") == 5
            driver.communicate("\n")
    finally:
        head.close()


def scraped(address: str, name: str, **labels: str) -> float:
    """The sample of this name and these labels, as soon as the agent has it."""
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    end = time.monotonic() + 120
    lines: list[str] = []
    while time.monotonic() < end:
        with contextlib.suppress(OSError), urllib.request.urlopen(address) as answer:
            lines = answer.read().decode().splitlines()
        for line in lines:
            if line.startswith(f"{name}{{") and all(label in line for label in wanted):
                return float(line.rpartition(" ")[2])
        time.sleep(0.2)
    raise AssertionError([line for line in lines if "siftloom" in line])
