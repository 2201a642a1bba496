"""Noise on embeddings: its law, its keys, that it stays out of the model, and that without it nothing changes."""

import pytest
import torch

from models.build import build
from models.neftune import EmbeddingNoise
from models.presets import Llama
from pipeline.errors import UserError
from stages.training.checkpoint import Saver
from stages.training.feed import Feed
from stages.training.worker import Trainer, train
from tests.models.calls import losses
from tests.stages.training.rows import changed, declared
from tests.stages.training.test_worker import (
    TINY,
    assert_same_bits,
    at,
    finish,
    job,
    kill_after_first_checkpoint,
    result,
    start,
)

__all__ = ["job"]  # the fixture
CPU = torch.device("cpu")


def test_the_variance_is_that_of_the_document_s_own_length():
    width, amount = 256, 5.0
    sizes = [7, 40, 200, 9]  # the last is filling
    numbers = torch.repeat_interleave(torch.tensor([1, 2, 3, 0]), torch.tensor(sizes))
    documents = numbers.expand(16, -1).contiguous()
    noise = EmbeddingNoise(amount, tuple(range(16))).drawn(documents, width)
    for document, size in enumerate(sizes[:3], 1):
        held = noise[documents == document]
        assert held.var().item() == pytest.approx(amount**2 / (3 * size * width), rel=0.02)
        assert held.abs().max() <= amount / (size * width) ** 0.5
        assert abs(held.mean().item()) < 0.02 * held.std().item()
    assert not noise[documents == 0].any()


def test_a_row_has_its_noise_whatever_stands_beside_it():
    documents = torch.tensor([[1, 1, 2, 2, 2], [1, 1, 1, 1, 0], [1, 2, 2, 3, 3]])
    together = EmbeddingNoise(3.0, (5, 6, 7)).drawn(documents, 8)
    for row, key in enumerate((5, 6, 7)):
        alone = EmbeddingNoise(3.0, (key,)).drawn(documents[row : row + 1], 8)
        assert torch.equal(together[row], alone[0])
    assert not torch.equal(together[0, :2], together[1, :2])


def test_noise_is_keyed_by_seed_step_and_row(job):
    noisy = changed(job, neftune=5.0)
    feed, other = Feed(noisy, 0, 1, CPU), Feed(changed(noisy, seed=4), 0, 1, CPU)
    half = Feed(noisy, 1, 2, CPU)
    first, second = feed.batch(0), feed.batch(1)
    keys = [batch.noise.keys for batch in (*first, *second, *other.batch(0))]
    assert len({key for held in keys for key in held}) == sum(map(len, keys)), "every row of every step has its own"
    again = half.batch(0)
    assert [batch.noise.keys for batch in again] == keys[2:4], "those of the second process are those of its rows"
    for one in (feed, other, half):
        one.close()


def test_no_noise_is_plain_training_and_noise_is_not(job, tmp_path):
    job = changed(job, steps=3)
    plain, none, noisy = (Trainer(changed(job, **more), 0, 1, CPU) for more in ({}, {"neftune": 0.0}, {"neftune": 5.0}))
    for trainer in (plain, none, noisy):
        trainer.train_step()
        trainer.feed.close()
    assert plain.record == none.record
    assert all(torch.equal(a, b) for a, b in zip(plain.model.parameters(), none.model.parameters(), strict=True))
    assert noisy.record["gradient_norm"] != plain.record["gradient_norm"]
    net = build(Llama("1m", **TINY), 50, 16, 0)
    batch = torch.randint(0, 50, (2, 9), generator=torch.Generator().manual_seed(0))
    assert torch.equal(*(losses(net.train(mode), batch[:, :-1], batch[:, 1:]) for mode in (True, False)))


@pytest.mark.long
def test_the_same_bits_with_two_processes_and_after_a_kill(job, tmp_path):
    noisy = changed(job, neftune=5.0, model=Llama("1m", **TINY))
    train(at(noisy, tmp_path / "one"), Saver(str(tmp_path / "one")), 0, 1)
    broken = tmp_path / "broken"
    kill_after_first_checkpoint(noisy, broken, processes=2)
    finish(start(noisy, broken, 2))
    assert_same_bits(result(tmp_path / "one"), result(broken))
    assert result(broken)["resources"]["resumed_at"] > 0


def test_an_amount_below_zero_is_named():
    with pytest.raises(UserError, match=r"neftune.*-1"):
        declared(model=Llama("1m"), neftune=-1.0)
