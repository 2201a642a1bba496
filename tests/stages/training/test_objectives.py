"""The published objectives in a run: plain training in the limit, the plain score beside the loss, the same bits."""

import pytest
import torch
import torch.nn.functional as F

from models.batch import Batch
from models.half_tuning import HalfTuning
from models.objective import CrossEntropy
from models.objectives.emo import Emo
from models.presets import Llama
from models.reweight_config import Uniform
from pipeline.files.open_store import file_on_disk
from stages.training.checkpoint import MODEL, Saver
from stages.training.stage import Stage
from stages.training.worker import Trainer, train
from tests.stages.training.rows import changed
from tests.stages.training.test_worker import TINY, assert_same_bits, at, finish, job, result, start

__all__ = ["job"]  # the fixture
CPU = torch.device("cpu")


def run(job, folder, **changes):
    train(at(job, folder, **changes), Saver(str(folder)), 0, 1)
    return result(folder)


@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.long)])
def test_emo_with_share_0_trains_the_bits_of_plain_cross_entropy(job, tmp_path, precision):
    job = changed(job, precision=precision, steps=4)
    plain = run(job, tmp_path / "plain", objective=CrossEntropy())
    assert_same_bits(plain, run(job, tmp_path / "none", objective=Emo(share=0.0)))
    moved = run(job, tmp_path / "emo", objective=Emo())["model"]
    assert not all(torch.equal(tensor, moved[name]) for name, tensor in plain["model"].items())


@pytest.mark.parametrize("mode", [1, 2])
def test_emo_is_minimised_and_the_plain_loss_is_recorded(job, mode):
    plain, emo = (
        Trainer(changed(job, reweight=Uniform(), objective=one), 0, 1, CPU)
        for one in (CrossEntropy(), Emo(mode=mode, clamp=None))
    )
    for trainer in (plain, emo):
        trainer.train_step()
    assert emo.record["loss"][0] == pytest.approx(plain.record["loss"][0], rel=1e-6)
    ratio = emo.record["objective"][0] / plain.record["loss"][0]
    assert (ratio == pytest.approx(1.0, rel=1e-5)) == (mode == 1)
    assert emo.record["gradient_norm"] != plain.record["gradient_norm"]


def test_the_cost_of_emo_is_the_angle_between_rows_of_the_head_and_gives_it_no_gradient():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 5, 6, generator=generator)
    head = torch.randn(11, 6, generator=generator).requires_grad_()
    labels = torch.randint(0, 11, (2, 5), generator=generator)
    batch = Batch(ids_bt=labels, labels_bt=labels)
    found = Emo(mode=2).losses(x, head, batch)
    q = (x @ head.T).softmax(-1)
    costs = 1.0 - F.cosine_similarity(head[:, None], head[None], dim=-1).detach()
    distance = (q * costs[labels]).sum(-1)
    entropy = F.cross_entropy((x @ head.T).flatten(0, 1), labels.flatten(), reduction="none").view(2, 5)
    torch.testing.assert_close(found.loss_bt, 2 * distance)
    torch.testing.assert_close(found.score_bt, entropy.detach())
    whole = (distance + (distance / entropy).detach() * entropy).sum()
    ours, theirs = (torch.autograd.grad(loss, head)[0] for loss in (found.loss_bt.sum(), whole))
    torch.testing.assert_close(ours, theirs)


def test_a_fixed_cost_is_that_of_the_start_and_stays_when_the_head_moves(job, tmp_path):
    job = changed(job, steps=4, reweight=Uniform())
    before = run(job, tmp_path / "before")["model"]
    begun = changed(job, start=file_on_disk(tmp_path / "before" / MODEL))
    heads = {}
    for cost in ("head", "start"):
        trainer = Trainer(changed(begun, objective=Emo(cost=cost)), 0, 1, CPU)
        heads[cost] = []
        for _ in range(3):
            trainer.train_step()
            heads[cost].append(trainer.model.lm_head.weight.detach().clone())
    # the first step has the same costs, the next ones have not
    assert torch.equal(heads["head"][0], heads["start"][0])
    assert not torch.equal(heads["head"][2], heads["start"][2])
    x, labels = torch.randn(2, 5, before["lm_head.weight"].shape[1]), torch.arange(10).view(2, 5)
    moved = heads["start"][2]
    objective = changed(begun, objective=Emo(cost="start", mode=2)).at(3).objective
    found = objective.losses(x, moved, Batch(ids_bt=labels, labels_bt=labels)).loss_bt
    costs = 1.0 - F.cosine_similarity(before["lm_head.weight"][:, None], before["lm_head.weight"][None], dim=-1)
    torch.testing.assert_close(found, 2 * ((x @ moved.T).softmax(-1) * costs[labels]).sum(-1))


@pytest.mark.long
def test_a_late_stage_of_emo_gives_the_same_bits_for_two_processes(job, tmp_path):
    staged = changed(job, schedule=(Stage(until=0.75), Stage(until=1.0, objective=Emo())))
    finish(start(staged, tmp_path / "two", 2))
    assert_same_bits(run(staged, tmp_path / "one"), result(tmp_path / "two"))


def test_each_round_of_half_tuning_leaves_its_half_as_the_round_before_gave_it(job, tmp_path):
    job = changed(job, model=Llama("1m", **TINY), steps=3)
    models = [run(job, tmp_path / "base")["model"]]
    halves = []
    for number in range(2):
        before = file_on_disk(tmp_path / ("round-0" if number else "base") / MODEL)
        policy = HalfTuning(round=number)
        halves.append(set(policy.frozen(Trainer(job, 0, 1, CPU).model, job.node.seed)))
        models.append(run(job, tmp_path / f"round-{number}", start=before, freeze=policy)["model"])
        stood = {name for name, tensor in models[-1].items() if torch.equal(tensor, models[-2][name])}
        assert stood == halves[-1]
    assert halves[0] != halves[1]
