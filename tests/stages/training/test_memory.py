"""A training that does not fit is refused before it takes memory."""

import dataclasses
from types import SimpleNamespace

import psutil
import pytest
import torch

from models.galore import GaLore
from models.presets import Llama
from pipeline.errors import TooLittleMemory
from stages.training.checkpoint import Saver
from stages.training.memory import check_memory, machine_memory, peak_of, refuse_above
from stages.training.worker import train
from tests.stages.training.rows import changed
from tests.stages.training.test_worker import job

__all__ = ["job"]  # the fixture


def test_a_run_that_fits_no_machine_ends_before_it_begins(job):
    job = changed(job, model=Llama("7b"), batch_rows=2**34, micro_batches=4)
    before = psutil.Process().memory_info().rss
    with pytest.raises(TooLittleMemory, match=r"activations .* TB; expected at most .*which is what this machine has"):
        train(job, Saver(job.scratch), 0, 1)
    assert psutil.Process().memory_info().rss < before + 200e6


def test_all_processes_of_a_machine_count(job, monkeypatch):
    peak = peak_of(job.node, 50, 16, 1)
    refuse_above(peak, 2, 2 * peak.total)
    with pytest.raises(TooLittleMemory, match="in each of 2 processes"):
        refuse_above(peak, 2, 2 * peak.total - 1)
    check_memory(job.node, 50, 16, 1, torch.device("cpu"))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "100000")
    with pytest.raises(TooLittleMemory, match="in each of 100000 processes"):
        check_memory(job.node, 50, 16, 1, torch.device("cpu"))


def test_the_copy_for_a_checkpoint_lies_beside_a_gpu_and_not_on_it(job, monkeypatch):
    aside = changed(job, model=Llama("60m"), async_checkpoints="on")
    peak = peak_of(aside.node, 50, 16, 1)
    assert peak.saved > 0
    card = SimpleNamespace(total_memory=peak.total - peak.saved)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: card)
    check_memory(aside.node, 50, 16, 1, torch.device("cuda"))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "100000")
    with pytest.raises(TooLittleMemory, match="in each of 100000 processes, of which the copy for"):
        check_memory(aside.node, 50, 16, 1, torch.device("cuda"))
    card.total_memory -= 1
    with pytest.raises(TooLittleMemory, match=r"weights, gradients and optimiser.*which is what this GPU has"):
        check_memory(aside.node, 50, 16, 1, torch.device("cuda"))


def test_memory_follows_what_is_set(job):
    dense = changed(job, model=Llama("60m"), batch_rows=64, micro_batches=4)
    plain = peak_of(dense.node, 32_000, 256, 1)
    assert peak_of(dataclasses.replace(dense.node, recompute=True), 32_000, 256, 1).activations < plain.activations
    assert peak_of(dataclasses.replace(dense.node, precision="bf16"), 32_000, 256, 1).activations < plain.activations
    narrow = peak_of(dataclasses.replace(dense.node, optimizer=GaLore(rank=128)), 32_000, 256, 1)
    assert narrow.state.optimiser < plain.state.optimiser
    shared = peak_of(dataclasses.replace(dense.node, shard=2), 32_000, 256, 2)
    assert shared.state.weights == plain.state.weights // 2
    assert shared.gathered > 0
    assert plain.gathered == 0


def test_the_memory_of_a_machine_is_no_more_than_it_has():
    assert 0 < machine_memory() <= psutil.virtual_memory().total
