"""Methods from outside in every slot of a training, one file each, under the promises of the built-in ones."""

import json
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from models.build import build
from models.freeze import ByName
from models.objective import CrossEntropy
from models.presets import Llama
from models.reweight import weights
from models.reweight_config import Uniform
from pipeline.errors import DataError
from stages.tokens.taken_rows import has_label
from stages.training.checkpoint import Saver
from stages.training.collate import Key, NextToken
from stages.training.feed import Feed
from stages.training.results import steps_of_row
from stages.training.row_source import RowSource
from stages.training.stage import Stage, check_stages, stage_at
from stages.training.worker import Trainer, train
from tests.stages.training.rows import changed, made_rows
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
from tests.stages.training.toys.collator import Masked
from tests.stages.training.toys.freeze import EveryOther
from tests.stages.training.toys.objective import Smoothed
from tests.stages.training.toys.order import EasyFirst
from tests.stages.training.toys.reweight import Cubic

__all__ = ["job"]  # the fixture
CPU = torch.device("cpu")


@pytest.fixture
def carried(job, tmp_path):
    """The job over rows that carry a column `difficulty`."""
    rows = made_rows(tmp_path / "carried")
    path = rows.files[0][1].local()
    table = pq.read_table(path)
    values = np.random.default_rng(0).random(table.num_rows)
    pq.write_table(table.append_column("difficulty", pa.array(values)), path)
    return changed(job, sources=(RowSource("rows", rows, 1.0),))


def toys(job):
    """A run that uses all five, in two stages."""
    stages = (Stage(until=0.5, collate=Masked(), attend="document"), Stage(until=1.0, objective=Smoothed()))
    parts = {"order": EasyFirst(), "freeze": EveryOther(), "reweight": Cubic(r=0.5, warmup=0.0)}
    return changed(job, **parts, schedule=stages, model=Llama("1m", **TINY))


@pytest.mark.long
def test_a_run_of_foreign_parts_keeps_its_bits_for_two_processes_and_after_a_kill(carried, tmp_path):
    run = toys(carried)
    train(at(run, tmp_path / "one"), Saver(str(tmp_path / "one")), 0, 1)
    finish(start(run, tmp_path / "two", 2))
    assert_same_bits(result(tmp_path / "one"), result(tmp_path / "two"))
    kill_after_first_checkpoint(run, tmp_path / "killed", 2)
    finish(start(run, tmp_path / "killed"))
    assert_same_bits(result(tmp_path / "one"), result(tmp_path / "killed"))


def test_what_a_policy_freezes_keeps_its_bits_and_has_no_state_whole_and_in_shards(carried, tmp_path):
    run = changed(carried, freeze=EveryOther(), model=Llama("1m", **TINY))
    train(at(run, tmp_path / "one"), Saver(str(tmp_path / "one")), 0, 1)
    finish(start(changed(run, shard=2), tmp_path / "shards", 2))
    begun = build(run.node.model, run.vocab_size, run.length, run.node.seed).state_dict()
    frozen = set(EveryOther().frozen(build(run.node.model, run.vocab_size, run.length, run.node.seed), run.node.seed))
    for folder in ("one", "shards"):
        ended = result(tmp_path / folder)["model"]
        assert {name for name in begun if torch.equal(begun[name], ended[name])} == frozen
        last = Saver(str(tmp_path / folder)).whole()[-1]
        parts = [path.read_bytes() for path in (tmp_path / folder / last).glob("part-*")]
        held = {name for part in parts for name in json.loads(part[8 : 8 + int.from_bytes(part[:8], "little")])}
        assert {name.split("/")[-1] for name in held if name.startswith("optimizer/")} == set(begun) - frozen


def test_an_objective_is_minimised_and_the_plain_loss_is_recorded(carried):
    plain = Trainer(changed(carried, reweight=Uniform()), 0, 1, CPU)
    smoothed = Trainer(changed(carried, reweight=Uniform(), objective=Smoothed()), 0, 1, CPU)
    for trainer in (plain, smoothed):
        trainer.train_step()
    assert smoothed.record["loss"][0] == pytest.approx(plain.record["loss"][0], rel=1e-6)
    assert plain.record["objective"][0] == pytest.approx(plain.record["loss"][0], rel=1e-9)
    assert abs(smoothed.record["objective"][0] - smoothed.record["loss"][0]) > 0.1
    assert smoothed.record["gradient_norm"] != plain.record["gradient_norm"]


def test_weights_of_a_shape_of_ones_own_are_those_of_its_formula(carried):
    config = Cubic(r=0.5, warmup=0.0, ramp=0.0, scope="global_exact")
    trainer = Trainer(changed(carried, reweight=config), 0, 1, CPU)
    trainer.train_step()
    trainer.feed.close()
    scores, tokens = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([4, 4, 4])
    h = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(weights(config, scores, tokens, step=0, steps=1), torch.softmax(h**3 / 0.5, 0))
    largest, smallest = trainer.record["weight_max"][0], trainer.record["weight_min"][0]
    assert largest / smallest == pytest.approx(np.exp(2 / 0.5), rel=1e-6)


def test_an_order_decides_the_rows_and_has_them_found_again(carried, tmp_path):
    run = changed(carried, order=EasyFirst())
    _, rows = run.sampler.batch(0, 2)
    values = run.sources[0].rows.means("difficulty", rows.ravel())
    assert np.array_equal(values, np.sort(values))
    taken = Feed(run, 0, 1, CPU).batch(1)
    assert torch.equal(torch.cat([batch.rows_b for batch in taken]), torch.from_numpy(rows[1]))
    # what is published of such a run has no closed form: its record is searched
    source = {"name": "rows", "first_row": 0, "rows": 64, "share": 1.0}
    (tmp_path / "config.json").write_text(json.dumps({"order": "EasyFirst", "sources": [source], "steps": 2}))
    lists = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])
    pq.write_table(pa.table({"step": pa.array([0, 1]), "rows": lists}), tmp_path / "steps.parquet")
    assert steps_of_row(tmp_path / "config.json", "rows", int(rows[1, 3])) == [1]


def test_a_collator_makes_its_choices_from_the_step_and_the_row_alone(carried):
    run = changed(carried, collate=Masked(share=0.4))
    alone = [batch for step in (3, 4) for batch in Feed(run, 0, 1, CPU).batch(step)]
    again = Feed(run, 0, 1, CPU)
    assert all(
        torch.equal(a.ids_bt, b.ids_bt)
        for a, b in zip(alone, [batch for step in (3, 4) for batch in again.batch(step)], strict=True)
    )
    hidden = alone[0].ids_bt != torch.where(alone[0].labels_bt >= 0, alone[0].labels_bt, alone[0].ids_bt)
    assert hidden.any()
    draws = [
        Key(seed, step, 9).chance(row).random() for seed, step, row in ((3, 4, 5), (2, 4, 5), (3, 5, 5), (3, 4, 6))
    ]
    assert len(set(draws)) == 4
    assert Key(3, 4, 9).chance(5).random() == draws[0]
    assert not torch.equal(alone[0].ids_bt, alone[len(alone) // 2].ids_bt)


def test_next_token_predicts_every_token_of_a_piece_but_its_first_and_no_other(carried):
    batch = Feed(carried, 0, 1, CPU).batch(0)[0]
    taken = carried.sources[0].rows.take(batch.rows_b.numpy())
    wanted = np.where(has_label(taken.segments), taken.ids[:, 1:], -100)
    assert np.array_equal(batch.labels_bt.numpy(), wanted)
    assert batch.attention == "causal"
    assert NextToken() == carried.node.collate


def test_columns_that_the_parts_of_a_run_ask_for_and_rows_do_not_carry_are_found(job, carried):
    staged = (Stage(until=1.0, objective=Smoothed()),)
    assert changed(job, schedule=staged).node.reads == ("difficulty",)


def test_a_policy_that_leaves_nothing_or_names_nothing_is_refused(job):
    with pytest.raises(DataError, match=r"'no such name', which matches no parameter of the model"):
        Trainer(changed(job, freeze=ByName(train=("no such name",))), 0, 1, CPU)
    trainer = Trainer(changed(job, freeze=ByName(train=(r"\.W_s$",))), 0, 1, CPU)
    assert {name.rpartition(".")[2] for name, p in trainer.model.named_parameters() if p.requires_grad} == {"W_s"}


@pytest.mark.parametrize("ends", [(0.5, 0.4, 1.0), (0.5,), (0.0, 1.0), (0.5, 1.5)])
def test_stages_that_do_not_fill_the_run_are_refused(ends):
    assert check_stages(tuple(Stage(until=end) for end in ends))


def test_the_first_step_at_the_end_of_a_stage_belongs_to_the_next():
    stages = (Stage(until=0.3), Stage(until=1.0, objective=CrossEntropy(z_loss=1e-4)))
    assert check_stages(stages) is None
    assert [stage_at(stages, step, 10).until for step in range(10)] == [0.3] * 3 + [1.0] * 7
    assert pickle.loads(pickle.dumps(stages)) == stages
