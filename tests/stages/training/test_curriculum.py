"""The curriculum over made rows: what is admitted, that it is drawn evenly, and that runs keep their bits."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import chisquare

from models.objectives.pacing import Pacing, prefix
from pipeline.errors import DataError
from stages.training.checkpoint import RESULT, Saver
from stages.training.curriculum import Curriculum
from stages.training.row_source import RowSource
from stages.training.worker import train
from tests.stages.training.rows import changed, made_rows
from tests.stages.training.test_worker import assert_same_bits, at, finish, job, result, start

__all__ = ["job"]  # the fixture
FLAT = Pacing(begin=1.0)


def source(folder, name, values, share=1.0):
    """Rows that carry `values` as their difficulty."""
    packed = made_rows(folder / name, rows=len(values))
    path = packed.files[0][1].local()
    pq.write_table(pq.read_table(path).append_column("hard", pa.array(values, pa.float64())), path)
    return RowSource(name, packed, share)


@pytest.fixture
def two(tmp_path):
    draw = np.random.default_rng(0)
    # six levels have many equal values, and some rows have none
    levels = [None if i % 9 == 0 else float(i % 6) for i in range(90)]
    return source(tmp_path, "one", draw.random(60).tolist(), 0.75), source(tmp_path, "two", levels, 0.25)


def opened(sources, pace, *, steps=400, batch_rows=16, seed=5):
    curriculum = Curriculum(by="hard", shape=pace.shape, start=pace.start, end=pace.end, begin=pace.begin)
    return curriculum.open(sources, batch_rows=batch_rows, steps=steps, seed=seed)


@pytest.mark.parametrize("pace", [Pacing(), Pacing(shape="step"), Pacing(shape="logarithm", begin=0.3)], ids=repr)
def test_a_step_draws_from_the_rows_that_its_pace_admits_and_no_harder_one(two, pace):
    places, rows = opened(two, pace).batch(0, 400)
    for number, one in enumerate(two):
        values = np.nan_to_num(one.rows.means("hard", np.arange(one.rows.rows)), nan=np.inf)
        ranked, reached = np.sort(values), set()
        for step in range(400):
            mine = rows[step][places[step] == number]
            admitted = prefix(pace.at(step, 400), len(values))
            assert (values[mine] <= ranked[admitted - 1]).all()
            assert len(set(mine.tolist())) == min(len(mine), admitted)
            reached |= set(mine.tolist())
            # equal values do not let more rows in than the pace
            assert len(reached) <= admitted
        assert ranked[-1] in values[list(reached)]


def test_a_column_without_a_single_value_is_named(two, tmp_path):
    empty = source(tmp_path, "empty", [None] * 30, 0.5)
    with pytest.raises(DataError, match=r"curriculum\.by: hard: no row of empty with a value"):
        opened((two[0], empty), Pacing()).batch(0)


def test_the_whole_from_the_start_is_drawn_evenly_as_by_a_uniform_order(two):
    places, rows = opened(two, FLAT, steps=2000).batch(0, 2000)
    for number, one in enumerate(two):
        counts = np.bincount(rows[places == number], minlength=one.rows.rows)
        assert chisquare(counts).pvalue > 1e-3
    assert (places == 0).mean() == pytest.approx(0.75, abs=1e-3)


def test_a_batch_is_a_function_of_its_step_alone(two):
    order = opened(two, Pacing())
    whole = order.batch(0, 400)
    for step in (399, 0, 57):
        alone = opened(two, Pacing()).batch(step)
        assert all(np.array_equal(part[0], of_all[step]) for part, of_all in zip(alone, whole, strict=True))
    assert not np.array_equal(opened(two, Pacing(), seed=6).batch(57)[1], whole[1][57])


@pytest.mark.long
def test_a_run_keeps_its_bits_for_two_processes_and_where_it_goes_on(job, two, tmp_path):
    run = changed(job, sources=two, order=Curriculum(by="hard"))
    assert run.node.reads == ("hard",)
    finish(start(run, tmp_path / "pair", 2))
    saver = Saver(str(tmp_path / "alone"))
    train(at(run, tmp_path / "alone"), saver, 0, 1)
    whole = result(tmp_path / "alone")
    assert_same_bits(whole, result(tmp_path / "pair"))
    saver.scratch.remove(RESULT)
    train(at(run, tmp_path / "alone"), Saver(str(tmp_path / "alone")), 0, 1)
    assert result(tmp_path / "alone")["resources"]["resumed_at"] == 9
    assert_same_bits(whole, result(tmp_path / "alone"))
