"""Losses over the whole batch, numbers of an objective and keyed dropout in the loop: against one undivided batch, for
any number of processes, after a kill.
"""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import stages.training.worker as worker
from models.files import load
from models.objectives.contrastive import Contrastive
from models.objectives.gedi import Gedi
from models.optim_config import AdamW, Constant
from models.own_numbers import read
from models.presets import Llama
from models.reweight_config import LinUpper
from models.sample_objective import SamplePieces
from pipeline.errors import DataError, RecipeError
from stages.read.read import Read
from stages.tokens.classes import Classes
from stages.tokens.pack_samples import PackSamples
from stages.tokens.pairs import Pairs
from stages.tokens.tokenizer import Tokenizer
from stages.training.checkpoint import MODEL, Saver
from stages.training.collate import NEXT_TOKEN
from stages.training.feed import Feed
from stages.training.pretrain import Pretrain
from stages.training.stage import Stage
from stages.training.whole_batch import parts_of_loss
from stages.training.whole_texts import WholeTexts
from stages.training.worker import Trainer, train
from tests.stages.training.rows import changed
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


@pytest.fixture
def pairs(job):
    """The job over rows of two pieces each, one group; all places of a row are learned."""
    [(_, file, _)] = job.sources[0].rows.files
    table = pq.read_table(file.local())
    numbers = pa.list_(pa.int32())
    learned = [[0, used] for used in table["tokens"].to_pylist()]
    for name, values in (("group", [[1, 1]] * len(learned)), ("role", [[0, 1]] * len(learned)), ("learned", learned)):
        table = table.append_column(f"sample_{name}", pa.array(values, numbers))
    pq.write_table(table, file.local())
    return changed(
        job, objective=Contrastive(dims=(8, 32)), collate=WholeTexts(), attend="document", model=Llama("1m", **TINY),
        reweight=None,
    )  # fmt: skip


def step_of(training):
    """Minimised loss and gradient of the first step, before clipping."""
    trainer = Trainer(changed(training, optimizer=AdamW(clip=0.0)), 0, 1, CPU)
    trainer.train_step()
    trainer.feed.close()
    return trainer.record["objective"][0], {n: p.grad.clone() for n, p in trainer.model.named_parameters()}


def undivided(training):
    """The same by autograd through one batch."""
    net, feed = Trainer(training, 0, 1, CPU).model, Feed(changed(training, micro_batches=1), 0, 1, CPU)
    [micro] = feed.batch(0)
    feed.close()
    objective, pieces = training.node.objective, SamplePieces.of(micro)
    values = net(micro, objective).values_pk.double()
    real = pieces.role_p >= 0
    group_n = pieces.group_p[real]
    whole = SamplePieces(
        micro.documents_bt[:0], torch.unique_consecutive(group_n, return_inverse=True)[1], pieces.role_p[real],
        len(group_n.unique()), {},
    )  # fmt: skip
    loss = objective.loss(values[real], whole).mean()
    loss.backward()
    return loss.item(), {n: p.grad for n, p in net.named_parameters()}


def far(mine, theirs) -> float:
    """The largest difference of two gradients, by the size of the second."""
    size = max(float(one.abs().max()) for one in theirs.values() if one is not None)
    return max(float((mine[n] - one).abs().max()) for n, one in theirs.items() if one is not None) / size


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_every_cut_of_a_batch_has_the_gradient_of_the_undivided_one(pairs, dropout, monkeypatch):
    pairs = changed(pairs, dropout=dropout)
    loss, gradient = undivided(pairs)
    assert 0.0 < loss
    for micro_batches in (1, 2, 4, 8):
        found, mine = step_of(changed(pairs, micro_batches=micro_batches))
        assert found == pytest.approx(loss, rel=1e-6)
        assert far(mine, gradient) < 1e-6, micro_batches

    # the control: a softmax over what a micro-batch holds is another loss
    def alone(objective, batch, values, numbers, step):
        return [
            parts_of_loss(objective, [b], [v], [n], step)[0] for b, v, n in zip(batch, values, numbers, strict=True)
        ]

    monkeypatch.setattr(worker, "parts_of_loss", alone)
    local, mine = step_of(changed(pairs, micro_batches=4))
    assert local < 0.9 * loss
    assert far(mine, gradient) > 1e-2


def test_the_same_bits_with_two_processes_and_after_a_kill(pairs, tmp_path):
    pairs = changed(pairs, dropout=0.3, collate=WholeTexts(crop=0.7))
    train(at(pairs, tmp_path / "one"), Saver(str(tmp_path / "one")), 0, 1)
    broken = tmp_path / "broken"
    kill_after_first_checkpoint(pairs, broken, processes=2)
    finish(start(pairs, broken, 2))
    assert_same_bits(result(tmp_path / "one"), result(broken))
    assert result(broken)["resources"]["resumed_at"] > 0
    record = result(broken)["record"]
    assert record["objective"][-1] < record["objective"][0]
    assert all(0.0 < loss for loss in record["loss"]), "it has no other score than its own loss"


def test_dropout_of_nothing_is_plain_and_two_copies_of_a_text_are_two_views(job):
    plain, none, some = (changed(job, dropout=share) for share in (0.0, 0.0, 0.3))
    assert step_of(plain)[0] == step_of(none)[0] != step_of(some)[0]
    dropped = Trainer(some, 0, 1, CPU)
    first, again = (dropped.feed.batch(0)[0] for _ in range(2))
    dropped.feed.close()
    assert first.dropout == again.dropout
    x = torch.ones(len(first.ids_bt), 6, 64)
    kept = first.dropout.of(x, 1, "mlp")
    assert torch.equal(kept, again.dropout.of(x, 1, "mlp"))
    assert kept.unique().tolist() == pytest.approx([0.0, 1 / 0.7])
    assert float(kept.mean()) == pytest.approx(1.0, abs=0.05)
    assert not torch.equal(kept[:, :3], kept[:, 3:]), "places of one text"
    assert not torch.equal(kept[0], kept[1]), "rows"
    assert not torch.equal(kept, first.dropout.of(x, 0, "mlp")), "layers"
    assert not torch.equal(kept, first.dropout.of(x, 1, "attention")), "halves of a block"


def test_a_model_that_is_run_again_in_the_backward_drops_the_same(pairs):
    pairs = changed(pairs, dropout=0.3)
    (loss, kept), (again, found) = step_of(pairs), step_of(changed(pairs, recompute=True))
    assert loss == again
    assert far(found, kept) < 1e-6


GEDI = Gedi(codes=("<a>", "<b>"), rate=30.0)


@pytest.fixture
def classes(pairs):
    """The same rows as texts of two classes, whose own code stands first in a group."""
    return changed(pairs, objective=GEDI, collate=NEXT_TOKEN)


def test_numbers_of_an_objective_are_trained_kept_and_left_out_by_other_readers(classes, tmp_path):
    classes = changed(classes, optimizer=AdamW(lr=1e-3, weight_decay=0.5), lr_schedule=Constant())
    train(at(classes, tmp_path / "one"), Saver(str(tmp_path / "one")), 0, 1)
    broken = tmp_path / "broken"
    kill_after_first_checkpoint(classes, broken, processes=2)
    finish(start(classes, broken, 1))
    assert_same_bits(result(tmp_path / "one"), result(broken))
    found = read(tmp_path / "one" / MODEL)
    assert found.keys() == {"alpha", "bias"}
    # the label is always the first code, so its bias rises, by about the factor of the rate in each step
    assert 0.1 < float(found["bias"][0]) < 12 * 30 * 1e-3 * 1.2
    assert float(found["bias"][1]) == pytest.approx(-float(found["bias"][0]), rel=1e-3)
    model = load(tmp_path / "one" / MODEL)
    assert not [name for name in model.state_dict() if name.startswith("own.")]
    groups = Trainer(classes, 0, 1, CPU).optimizer.param_groups
    assert [
        (g["weight_decay"], g["lr_factor"]) for g in groups if len(g["params"]) == 2 and g["lr_factor"] == 30.0
    ] == [(0.0, 30.0)]


def test_numbers_that_are_not_learned_are_none(classes, tmp_path):
    trainer = Trainer(changed(classes, objective=Gedi(codes=("<a>", "<b>"), learn=())), 0, 1, CPU)
    assert trainer.model.own is None


def node(docs, sample, **fields):
    rows = PackSamples(docs=docs, tokenizer=Tokenizer(docs=docs, specials=("<a>", "<b>")), sample=sample)
    return Pretrain(rows=rows, model=Llama("1m"), attend="document", **fields)


@pytest.mark.parametrize(("fields", "said"), [
    ({"objective": Contrastive()}, "NextToken for Contrastive.*whole_texts"),
    ({"collate": WholeTexts()}, "WholeTexts for CrossEntropy"),
    ({"schedule": (Stage(until=1.0, objective=Contrastive()),)}, "NextToken for Contrastive"),
    ({"objective": Contrastive(), "collate": WholeTexts(), "reweight": LinUpper(unit="group")}, "reweight.*weights"),
    ({"objective": Contrastive(), "collate": WholeTexts(), "shard": 2, "workers": 2}, "shard.*whole copy"),
    ({"objective": Contrastive(dims=(64, 512)), "collate": WholeTexts()}, "dims up to 512"),
    ({"objective": GEDI}, "samples of query, positive"),
    ({"dropout": 0.1, "compile": "on"}, "compile.*dropout"),
])  # fmt: skip
def test_what_does_not_go_together_is_named_before_a_run(fields, said):
    docs = Read(paths=("unread",))
    sample = Pairs(query="text", positive="text")
    if "objective" not in fields and "schedule" not in fields and "collate" not in fields:
        sample = Classes(label="id", codes={"a": "<a>", "b": "<b>"})
    with pytest.raises(RecipeError, match=said):
        node(docs, sample, **fields).check()


def test_a_batch_of_one_pair_is_named(pairs):
    alone = Trainer(changed(pairs, batch_rows=1, micro_batches=1), 0, 1, CPU)
    with pytest.raises(DataError, match="no other text among 1 pairs"):
        alone.train_step()
    alone.feed.close()
