"""Muon and GaLore in the loop: the same bits for two processes and after a stop, and no shards."""

import pytest
import torch

from models.galore import GaLore
from models.muon import Muon
from pipeline.errors import RecipeError
from stages.training.checkpoint import Saver
from stages.training.state import empty_state
from stages.training.worker import train
from tests.stages.training.rows import changed
from tests.stages.training.test_worker import assert_same_bits, at, finish, job, result, start

__all__ = ["job"]  # the fixture

# the directions change twice before the stop and twice after it
KINDS = [Muon(lr=3e-3), GaLore(rank=4, gap=2, lr=3e-3)]


@pytest.mark.parametrize(
    "optimizer", [pytest.param(KINDS[0], marks=pytest.mark.long), KINDS[1]], ids=lambda kind: type(kind).__name__
)
def test_stopped_with_two_processes_it_goes_on_with_one_to_the_same_bits(job, tmp_path, optimizer):
    job = changed(job, optimizer=optimizer, steps=8)
    train(at(job, tmp_path / "whole"), Saver(str(tmp_path / "whole")), 0, 1)
    saver = Saver(str(tmp_path / "two"))
    early = changed(job, checkpoint_every=5)
    finish(start(early, tmp_path / "two", 2))
    assert_same_bits(result(tmp_path / "whole"), result(tmp_path / "two"))
    saver.scratch.remove("result.json")
    train(at(early, tmp_path / "two"), Saver(str(tmp_path / "two")), 0, 1)
    assert result(tmp_path / "two")["resources"]["resumed_at"] == 5
    assert_same_bits(result(tmp_path / "whole"), result(tmp_path / "two"))
    losses = result(tmp_path / "whole")["record"]["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("optimizer", KINDS, ids=lambda kind: type(kind).__name__)
def test_shards_are_refused_by_name(job, optimizer):
    job = changed(job, optimizer=optimizer, shard=2)
    with pytest.raises(RecipeError, match=r"pretrain\.optimizer.*with shard 2; expected whole copies"):
        train(job, Saver(job.scratch), 0, 1)


def test_counts_of_steps_lie_where_their_own_part_of_an_optimiser_reads_them():
    """GaLore reads its counts in Python: on the device each would hold up every step. "meta" stands for a device."""
    maps, rest = (torch.nn.Parameter(torch.empty(2, 2, device="meta")) for _ in range(2))
    joined = torch.optim.SGD([{"params": [maps]}, {"params": [rest], "fused": True}], lr=1.0)
    assert empty_state(joined, maps, []).device.type == "cpu"
    assert empty_state(joined, rest, []).device.type == "meta"
