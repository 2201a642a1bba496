"""Steps that stand out: spikes with their rows and documents, numbers that are not finite, batches without weight."""

import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from models.reweight_config import LinUpper, Uniform
from pipeline.errors import DataError
from stages.training.checkpoint import RESULT, STOP, Saver
from stages.training.curves import of_unusual, thin
from stages.training.metrics import Follower
from stages.training.results import documents_of
from stages.training.scratch import Scratch
from stages.training.unusual import expected_loss
from stages.training.worker import Trainer, train
from tests.stages.training.rows import changed
from tests.stages.training.test_worker import at, finish, job, result, start
from tests.stages.training.toys.poisoned import Poisoned

__all__ = ["job"]  # the fixture

CPU = torch.device("cpu")
ROW = 7


def steps_with_the_row(job):
    rows = job.sampler.batch(0, job.node.steps)[1]
    return [step for step in range(job.node.steps) if ROW in rows[step]]


def test_a_spike_is_far_above_the_steps_before_it_in_their_own_deviations():
    flat = [3.0 + 0.01 * (step % 5) for step in range(40)]
    assert expected_loss(flat, 3.5) == pytest.approx(3.02)
    assert expected_loss(flat, 3.1) is None
    noisy = [3.0 + 0.3 * (step % 5) for step in range(40)]
    assert expected_loss(noisy, 4.5) is None
    assert expected_loss(flat[:15], 9.0) is None, "too few steps to know"
    assert expected_loss([9.0 - step / 10 for step in range(70)], 4.0) is None, "a loss that falls"
    assert expected_loss([*flat, math.nan, math.inf], 9.0) is not None
    assert expected_loss(flat, math.nan) is None


def test_a_spike_names_its_rows_and_documents_in_an_event_and_in_the_report(job):
    job = changed(job, steps=24, objective=Poisoned(row=ROW, how="high"), reweight=Uniform())
    for path in (file.local() for _, file, _ in job.sources[0].rows.files):
        table = pq.read_table(path)
        names = pa.array([[f"abc:{row}.{i}" for i in range(len(one))] for row, one in enumerate(table["doc_start"])])
        pq.write_table(table.append_column("doc_id", names), path)
    train(job, Saver(job.scratch), 0, 1)
    found = result(Path(job.scratch))
    wanted = [one["step"] for one in found["unusual"]]
    # a loss that still falls hides some of the six
    assert wanted
    assert set(wanted) <= {step for step in steps_with_the_row(job) if step >= 16}
    assert [step for step, mark in enumerate(found["record"]["spike"]) if mark] == wanted
    for one in found["unusual"]:
        assert one["hardest"][0] == ROW
        assert one["rows"] == job.sampler.batch(one["step"])[1][0].tolist()
        assert one["loss"] > one["expected"] + 1
    told = []
    with Follower(Scratch(job.scratch), [], lambda *a, **v: told.append((*a, v)), lambda rows: documents_of(job, rows)):
        pass
    assert [(event, values["at"]) for event, values in told] == [("loss spike", step) for step in wanted]
    assert told[0][1]["documents"][:2] == [f"abc:{ROW}.0", f"abc:{ROW}.1"]
    [figure] = of_unusual([{**one, "documents": documents_of(job, one["hardest"])} for one in found["unusual"]])
    assert figure["rows"][0][:2] == [wanted[0], "loss spike"]
    assert f"abc:{ROW}.0" in figure["rows"][0][5]


def test_rows_that_carry_no_ids_name_shard_and_row(job):
    for path in (file.local() for _, file, _ in job.sources[0].rows.files):
        table = pq.read_table(path)
        rows = pa.array([[5 * row, 5 * row + 1] for row in range(len(table))], pa.list_(pa.int64()))
        table = table.append_column("doc_row", rows).replace_schema_metadata({"base": "b", "shard": "ab-0001"})
        pq.write_table(table, path)
    assert documents_of(job, [3, 4]) == ["ab-0001/15", "ab-0001/16", "ab-0001/20", "ab-0001/21"]


def test_a_loss_that_is_no_number_ends_the_run_with_its_step_and_row(job):
    job = changed(job, objective=Poisoned(row=ROW))
    step = steps_with_the_row(job)[0]
    with pytest.raises(DataError, match=rf"step {step}: loss nan.*hardest rows of its batch are {ROW},.*on_nan: skip"):
        train(job, Saver(job.scratch), 0, 1)
    assert not Saver(job.scratch).scratch.exists(RESULT)


@pytest.mark.parametrize(
    "reweight", [Uniform(), pytest.param(LinUpper(r=0.5, warmup=0.0, unit="document"), marks=pytest.mark.long)]
)
def test_a_skipped_step_changes_nothing_and_the_bits_are_those_of_any_way_there(job, tmp_path, reweight):
    job = changed(job, objective=Poisoned(row=ROW), on_nan="skip", reweight=reweight)
    train(at(job, tmp_path / "one"), Saver(str(tmp_path / "one")), 0, 1)
    one = result(tmp_path / "one")
    assert [step for step, mark in enumerate(one["record"]["skipped"]) if mark] == steps_with_the_row(job)
    assert [found["step"] for found in one["unusual"]] == steps_with_the_row(job)
    assert all(tensor.isfinite().all() for tensor in one["model"].values())
    (tmp_path / "two").mkdir()
    Saver(str(tmp_path / "two")).scratch.write(STOP, b"")
    finish(start(job, tmp_path / "two", processes=2))
    (tmp_path / "two" / STOP).unlink()
    finish(start(job, tmp_path / "two"))
    two = result(tmp_path / "two")
    assert two["resources"]["resumed_at"] > 0
    assert json.dumps(one["record"]) == json.dumps(two["record"])
    assert all(torch.equal(tensor, two["model"][name]) for name, tensor in one["model"].items())


def test_a_skipped_step_leaves_weights_moments_and_bounds(job):
    job = changed(job, objective=Poisoned(row=ROW), on_nan="skip", reweight=LinUpper(warmup=0.0, ramp=0.0), steps=40)
    trainer = Trainer(job, 0, 1, CPU)
    steps = steps_with_the_row(job)
    bad = next(step for step in steps if step and step + 1 not in steps)
    while trainer.step < bad:
        trainer.train_step()
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    moments = [{k: v.clone() for k, v in state.items()} for state in trainer.optimizer.state.values()]
    bounds = trainer.bounds
    trainer.train_step()
    assert trainer.record["skipped"][-1] == 1
    assert all(torch.equal(tensor, before[name]) for name, tensor in trainer.model.state_dict().items())
    for old, new in zip(moments, trainer.optimizer.state.values(), strict=True):
        assert all(torch.equal(value, new[key]) for key, value in old.items())
    assert trainer.bounds == bounds
    trainer.train_step()
    assert trainer.record["skipped"][-1] == 0
    trainer.feed.close()


def test_a_run_that_only_skips_ends(job):
    job = changed(job, objective=Poisoned(row=ROW), on_nan="skip", batch_rows=64, micro_batches=4, steps=50)
    with pytest.raises(DataError, match="step 19"):
        train(job, Saver(job.scratch), 0, 1)


def test_figures_hold_no_number_that_is_not_finite():
    assert thin([1, 2, 3], [1.0, math.nan, 3.0]) == [[1, 1.0], [3, 3.0]]


@pytest.mark.parametrize(("column", "words"), [("log_prior", "all weights are 0"), (None, "no place has anything")])
def test_a_batch_that_nothing_can_be_learned_from_is_named(job, column, words):
    [(_, file, count)] = job.sources[0].rows.files
    path = file.local()
    table = pq.read_table(path)
    if column:
        table = table.append_column(column, pa.array(np.full(count, -np.inf)))
    else:
        # every token begins a document of its own, so none follows another
        used = table["tokens"].to_pylist()
        table = table.set_column(1, "doc_start", pa.array([list(range(n)) for n in used], pa.list_(pa.int32())))
    pq.write_table(table, path)
    with pytest.raises(DataError, match=f"step 0: rows .*{words}"):
        train(job, Saver(job.scratch), 0, 1)
