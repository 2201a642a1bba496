"""Two gloo processes against one: weights, gradients under DDP and FSDP2, clipping, and the check of
channels.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What two processes found; see `two_processes.py`."""
    folder = tmp_path_factory.mktemp("two")
    script, out = Path(__file__).with_name("two_processes.py"), folder / "figures.json"
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    workers = [
        subprocess.Popen(
            [sys.executable, str(script), str(process_rank), str(folder / "rendezvous"), str(out)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for process_rank in range(2)
    ]
    errors = [worker.communicate(timeout=120)[1] for worker in workers]
    assert all(worker.returncode == 0 for worker in workers), "\n".join(errors)
    return json.loads(out.read_text())


@pytest.mark.long
def test_gathered_weights_are_those_of_one_process(figures) -> None:
    assert figures["weights differ by"] <= 1e-15


@pytest.mark.long
@pytest.mark.parametrize("way", ["ddp by_gather", "ddp by_bounds", "fsdp by_gather"])
def test_weighted_gradients_are_those_of_one_process(figures, way) -> None:
    assert figures[way] <= 1e-12


@pytest.mark.long
@pytest.mark.parametrize("wrong", ["local_softmax", "without_world", "first_slice_for_all", "by_local_tokens"])
def test_wrong_forms_are_told_apart(figures, wrong) -> None:
    assert figures[f"ddp {wrong}"] > 0.01


@pytest.mark.long
def test_clipping_and_groups_see_the_whole_of_a_sharded_model(figures) -> None:
    assert figures["norm sharded"] == pytest.approx(figures["norm whole"], rel=1e-12)
    assert figures["after sharded"] == pytest.approx(0.5, rel=1e-5)
    assert figures["groups sharded"] == figures["groups whole"]


@pytest.mark.long
def test_processes_that_keep_other_channels_are_found(figures) -> None:
    assert figures["seeds differ"]
