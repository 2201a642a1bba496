"""Weights from losses against numbers worked out by hand, and the draw of rows by them."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from local_context import LocalContext

from models.objectives.emo import Emo
from models.presets import Llama
from models.reweight_config import LinUpper
from pipeline.contract import RowPhase
from pipeline.errors import DataError, RecipeError
from pipeline.graph import build
from stages.documents import LOG_PRIOR
from stages.read.read import Read
from stages.tokens.pack import Pack
from stages.tokens.tokenizer import Tokenizer
from stages.training.by_prior import ByPrior
from stages.training.checkpoint import Saver
from stages.training.feed import Feed
from stages.training.loss_weights import LossWeights
from stages.training.mask_tokens import MaskTokens
from stages.training.order import MIXTURE
from stages.training.pretrain import Pretrain
from stages.training.row_source import RowSource
from stages.training.stage import Stage
from stages.training.worker import train
from tests.stages.training.rows import changed, made_rows
from tests.stages.training.test_worker import assert_same_bits, at, finish, job, result, start

__all__ = ["job"]  # the fixture
CPU = torch.device("cpu")


def table(count=200, seed=0):
    draw = np.random.default_rng(seed)
    tokens = draw.integers(1, 90, count)
    return pa.table(
        {
            "id": [f"a:{i}" for i in range(count)],
            "source": ["code" if i % 3 == 0 else "prose" for i in range(count)],
            "ref_loss": pa.array(draw.normal(4, 1, count) - 2.0 * (np.arange(count) % 3 == 0), pa.float32()),
            "ref_tokens": pa.array(tokens, pa.int32()),
            "easy_loss": pa.array(draw.normal(3, 0.1, count), pa.float32()),
            "held_out": [i % 10 == 0 for i in range(count)],
        }
    )


def log_priors(folder, rows, **fields):
    # the columns of a base, so that held_out is known
    docs = _Held(paths=("x",))
    node = LossWeights(docs=docs, **fields)
    node.check()
    ctx = LocalContext(node, folder, {"docs": rows})
    ctx.run_all()
    phase = next(phase for phase in node.phases() if isinstance(phase, RowPhase))
    return phase.open(ctx)(rows).added[LOG_PRIOR]


class _Held(Read):
    def adds(self):
        return {**super().adds(), "held_out": "bool"}


def test_both_ends_of_each_domain_weigh_less_and_each_domain_keeps_its_share_of_the_tokens(tmp_path):
    rows = table()
    weights = np.exp(log_priors(tmp_path, rows, low=0.1, high=0.8, low_weight=0.5, high_weight=0.25).astype(float))
    source, loss = (np.array(rows[name].to_pylist()) for name in ("source", "ref_loss"))
    tokens, held = rows["ref_tokens"].to_numpy(), np.array(rows["held_out"].to_pylist())
    for name in ("code", "prose"):
        mine = (source == name) & ~held
        low, high = np.quantile(loss[mine], [0.1, 0.8])
        shape = np.where(loss < low, 0.5, np.where(loss > high, 0.25, 1.0))
        scale = np.average(shape[mine], weights=tokens[mine])
        np.testing.assert_allclose(weights[source == name], (shape / scale)[source == name], rtol=1e-5)
        assert np.average(weights[mine], weights=tokens[mine]) == pytest.approx(1.0, abs=1e-6)
    # held-out documents have weights of their bands, and no say
    other = rows.set_column(2, "ref_loss", pa.array(np.where(held, 99.0, loss), pa.float32()))
    again = np.exp(log_priors(tmp_path / "b", other, low=0.1, high=0.8, low_weight=0.5, high_weight=0.25).astype(float))
    np.testing.assert_array_equal(again[~held], weights[~held])


def test_an_excess_loss_is_a_difference_and_moves_whole_domains_where_it_is_asked_to(tmp_path):
    rows = table()
    priors = log_priors(tmp_path, rows, minus="easy_loss", low=0.0, high=1.0, domain_step=0.5).astype(float)
    source, held = np.array(rows["source"].to_pylist()), np.array(rows["held_out"].to_pylist())
    excess = rows["ref_loss"].to_numpy().astype(float) - rows["easy_loss"].to_numpy()
    tokens = rows["ref_tokens"].to_numpy()
    means = {n: np.average(excess[(source == n) & ~held], weights=tokens[(source == n) & ~held]) for n in set(source)}
    assert means["code"] < 0 < means["prose"]
    # code has none above 0, so prose gains by exp(step * excess), and the mean over all tokens stays one
    gap = priors[source == "prose"][0] - priors[source == "code"][0]
    assert gap == pytest.approx(0.5 * means["prose"], rel=1e-5)
    assert np.average(np.exp(priors[~held]), weights=tokens[~held]) == pytest.approx(1.0, abs=1e-6)


def test_a_document_without_a_loss_weighs_one_and_none_with_a_loss_is_an_error(tmp_path):
    rows = table().set_column(2, "ref_loss", pa.array([None if i < 9 else float(i) for i in range(200)], pa.float32()))
    assert log_priors(tmp_path, rows)[:9].tolist() == [0.0] * 9
    empty = rows.set_column(2, "ref_loss", pa.nulls(200, pa.float32()))
    with pytest.raises(DataError, match="no document with a loss"):
        log_priors(tmp_path / "b", empty)
    for wrong in ({"low": 0.9, "high": 0.1}, {"low_weight": 0.0}, {"domain_step": 1.0}):
        with pytest.raises(RecipeError, match="loss_weights"):
            build([LossWeights(docs=_Held(paths=("x",)), by="a", tokens="b", **wrong)])


def weighted(folder, name, logs, share=1.0):
    packed = made_rows(folder / name, rows=len(logs))
    path = packed.files[0][1].local()
    pq.write_table(pq.read_table(path).append_column(LOG_PRIOR, pa.array(logs, pa.float64())), path)
    return RowSource(name, packed, share)


def test_after_some_epochs_a_row_was_drawn_as_often_as_its_weight_to_within_one(tmp_path):
    weights = np.random.default_rng(0).choice([0.1, 0.5, 1.0, 3.7], 60)
    order = ByPrior().open((weighted(tmp_path, "a", np.log(weights).tolist()),), batch_rows=10, steps=60, seed=1)
    _, rows = order.batch(0, 60)  # ten epochs
    wanted = 10 * weights / weights.mean()
    assert np.abs(np.bincount(rows.ravel(), minlength=60) - wanted).max() < 1.5
    alone = [order.batch(step)[1][0] for step in (59, 0, 31)]
    assert [part.tolist() for part in alone] == [rows[step].tolist() for step in (59, 0, 31)]
    other = ByPrior().open((weighted(tmp_path, "a", np.log(weights).tolist()),), batch_rows=10, steps=60, seed=2)
    assert not np.array_equal(other.batch(0, 60)[1], rows)


def test_large_logarithms_of_weights_are_taken_by_their_differences(tmp_path):
    """As numbers they overflow, and no epoch of rows that count infinitely often ever ends."""
    logs = [1000.0, 1000.0 - np.log(3.0), -np.inf]
    order = ByPrior().open((weighted(tmp_path, "a", logs),), batch_rows=4, steps=3, seed=1)
    assert order.weights[0] == pytest.approx([2.25, 0.75, 0.0])


def test_equal_weights_are_the_plain_mixture(tmp_path):
    sources = (weighted(tmp_path, "a", [0.0] * 50, 0.7), weighted(tmp_path, "b", [0.0] * 31, 0.3))
    how = {"batch_rows": 16, "steps": 90, "seed": 3}
    for mine, plain in zip(ByPrior().open(sources, **how).batch(0, 90), MIXTURE.open(sources, **how).batch(0, 90),
                           strict=True):  # fmt: skip
        assert np.array_equal(mine, plain)


@pytest.mark.long
def test_a_prior_counts_in_the_sampler_or_in_the_loss_and_runs_keep_their_bits(job, tmp_path):
    logs = np.log(np.random.default_rng(0).choice([0.25, 1.5], 64)).tolist()
    in_loss = changed(job, sources=(weighted(tmp_path, "a", logs),))
    in_sampler = changed(in_loss, order=ByPrior())
    assert Feed(in_loss, 0, 1, CPU).batch(0)[0].log_prior_b.any()
    assert not Feed(in_sampler, 0, 1, CPU).batch(0)[0].log_prior_b.any()
    by_document = changed(in_sampler, reweight=LinUpper(unit="document"))
    assert not Feed(by_document, 0, 1, CPU).batch(0)[0].pieces
    train(at(in_sampler, tmp_path / "one"), Saver(str(tmp_path / "one")), 0, 1)
    finish(start(in_sampler, tmp_path / "two", 2))
    assert_same_bits(result(tmp_path / "one"), result(tmp_path / "two"))


def test_two_priors_and_what_rows_lack_are_named_before_anything_runs():
    docs = _Held(paths=("x",))
    scored = LossWeights(docs=LossWeights(docs=docs, by="a", tokens="b"), by="a", tokens="b", as_="other")
    rows = Pack(docs=scored, tokenizer=Tokenizer(docs=docs), carry=(LOG_PRIOR, "other"))
    Pretrain(rows=rows, model=Llama("1m"), order=ByPrior()).check()
    with pytest.raises(RecipeError, match=r"drawn by other.*one prior, in the sampler or in the loss"):
        Pretrain(rows=rows, model=Llama("1m"), order=ByPrior(by="other")).check()
    with pytest.raises(RecipeError, match=r"without the column 'none'.*carry: \[log_prior, other, none\]"):
        Pretrain(rows=rows, model=Llama("1m"), order=ByPrior(by="none")).check()
    hidden = Stage(until=1.0, collate=MaskTokens())
    with pytest.raises(RecipeError, match=r"reserves no <mask>.*specials: \[<mask>\]"):
        Pretrain(rows=rows, model=Llama("1m"), schedule=(hidden,)).check()
    reserved = dataclasses.replace(rows, tokenizer=Tokenizer(docs=docs, specials=("<mask>",)))
    Pretrain(rows=reserved, model=Llama("1m"), schedule=(hidden,)).check()
    with pytest.raises(RecipeError, match=r"Emo by the model that the run starts from, and no start"):
        Pretrain(rows=rows, model=Llama("1m"), objective=Emo(cost="start")).check()


def test_a_large_excess_of_a_domain_is_a_weight_and_no_overflow(tmp_path):
    rows, step = table(), 2000.0
    fields = {"minus": "easy_loss", "domain": "source", "low": 0.0, "high": 1.0}
    found = log_priors(tmp_path, rows, domain_step=step, **fields)
    assert np.isfinite(found).all()
    kept, prose = ~np.array(rows["held_out"]), np.array(rows["source"].to_pylist()) == "prose"
    tokens = rows["ref_tokens"].to_numpy()
    loss = rows["ref_loss"].to_numpy().astype(np.float64) - rows["easy_loss"].to_numpy().astype(np.float64)
    excess = [max(0.0, np.average(loss[kept & of], weights=tokens[kept & of])) for of in (prose, ~prose)]
    between = found[prose][0] - found[~prose][0]
    assert between == pytest.approx(step * (excess[0] - excess[1]), rel=1e-6)
    assert step * (excess[0] - excess[1]) > 800
