"""Weights inside the loop: the limit that is plain training, documents as samples, priors, excess loss."""

import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from models.build import build
from models.losses import IGNORE
from models.optim_config import AdamW
from models.presets import Llama
from models.reweight import weights
from models.reweight_config import KlDro, LinUpper, Uniform
from pipeline.errors import DataError
from stages.tokens.packed_rows import PackedRows
from stages.training.asks import columns
from stages.training.by_prior import ByPrior
from stages.training.checkpoint import Saver
from stages.training.feed import Feed
from stages.training.mixture import check_priors, check_reference
from stages.training.order import MIXTURE
from stages.training.row_source import RowSource
from stages.training.worker import Trainer, train
from tests.models.calls import losses as token_losses
from tests.stages.training.rows import changed
from tests.stages.training.test_worker import TINY, assert_same_bits, at, finish, job, result, start

__all__ = ["job"]  # the fixture

CPU = torch.device("cpu")


def carry(job, **values):
    """Let the rows carry columns, as `pack` does; values by (row, piece) of the first source."""
    [(_, file, _)] = job.sources[0].rows.files
    path = file.local()
    table = pq.read_table(path)
    for name, of in values.items():
        lists = [[of(row, piece) for piece in range(len(one))] for row, one in enumerate(table["doc_start"])]
        table = table.append_column(f"doc_{name}", pa.array(lists, pa.list_(pa.float64())))
        means = [None if None in one else float(np.mean(one)) for one in lists]
        table = table.append_column(name, pa.array(means, pa.float64()))
    pq.write_table(table, path)


@pytest.mark.long
@pytest.mark.parametrize("scope", ["micro", "global_exact", "global_lagged"])
@pytest.mark.parametrize("unit", ["row", "document"])
def test_weights_that_never_begin_are_plain_training_bit_for_bit(job, tmp_path, scope, unit):
    job = changed(job, steps=6)
    plain = at(job, tmp_path / "plain", reweight=Uniform())
    train(plain, Saver(plain.scratch), 0, 1)
    never = at(job, tmp_path / "never", reweight=LinUpper(warmup=1.0, ramp=0.0, scope=scope, unit=unit))
    train(never, Saver(never.scratch), 0, 1)
    one, other = result(tmp_path / "plain"), result(tmp_path / "never")
    assert one["record"]["gradient_norm"] == other["record"]["gradient_norm"]
    assert all(torch.equal(tensor, other["model"][name]) for name, tensor in one["model"].items())


@pytest.mark.parametrize("unit", ["row", "document"])
@pytest.mark.parametrize("by_tokens", [True, False])
def test_a_training_without_weights_is_recorded_as_even_however_full_its_rows_are(job, by_tokens, unit):
    """So that its report shows no weights: rows and documents of these rows hold unequal numbers of tokens."""
    for reweight in (Uniform(by_tokens=by_tokens), LinUpper(by_tokens=by_tokens, unit=unit, warmup=1.0, ramp=0.0)):
        trainer = Trainer(changed(job, reweight=reweight), 0, 1, CPU)
        trainer.train_step()
        for name in ("effective", "weight_max", "weight_min"):
            assert trainer.record[name][0] == pytest.approx(1.0, abs=1e-9), name
        trainer.feed.close()


@pytest.mark.parametrize("reference", [None, "ref_loss"])
def test_the_gradient_is_that_of_documents_with_their_own_weights_priors_and_references(job, reference):
    """Against a loop over the documents of the batch, and one backward."""
    prior, known = (lambda row, piece: 0.1 * (row % 3) - piece), (lambda row, piece: 0.05 * row + piece)
    carry(job, log_prior=prior, ref_loss=known)
    config = KlDro(r=0.5, warmup=0.0, ramp=0.0, scope="global_exact", unit="document", reference=reference)
    job = changed(job, reweight=config, model=Llama("1m", **TINY), optimizer=AdamW(clip=0.0))
    trainer = Trainer(job, 0, 1, CPU)
    net = build(job.node.model, job.vocab_size, job.length, job.node.seed)
    means, scores, tokens, priors = [], [], [], []
    for micro in Feed(job, 0, 1, CPU).batch(0):
        losses = token_losses(net, micro.ids_bt, micro.labels_bt)
        for row in range(len(losses)):
            number = int(micro.rows_b[row])
            for piece in range(int(micro.documents_bt[row].max())):
                held = (micro.documents_bt[row] == piece + 1) & (micro.labels_bt[row] != IGNORE)
                if held.any():
                    means.append(losses[row][held].mean())
                    scores.append(float(means[-1].detach()) - (known(number, piece) if reference else 0.0))
                    tokens.append(int(held.sum()))
                    priors.append(prior(number, piece))
    assert len(means) > job.node.batch_rows, "some rows hold two documents"
    w = weights(config, torch.tensor(scores), torch.tensor(tokens), torch.tensor(priors), step=0, steps=job.node.steps)
    (w.float() * torch.stack(means)).sum().backward()
    trainer.train_step()
    for (name, mine), theirs in zip(trainer.model.named_parameters(), net.parameters(), strict=True):
        assert torch.allclose(mine.grad, theirs.grad, rtol=2e-4, atol=2e-7), name
    shares = torch.tensor(tokens) / sum(tokens)
    effective = float(1 / (w.square() / shares).sum())
    assert trainer.record["effective"][0] == pytest.approx(effective, rel=1e-5)
    trainer.feed.close()


@pytest.mark.parametrize("scope", ["micro", "global_exact", "global_lagged"])
def test_documents_give_the_same_bits_for_one_process_and_two(job, tmp_path, scope):
    far = 900.0 if scope == "micro" else 0.0
    carry(job, log_prior=lambda row, piece: far * (row % 2) + 0.3 * piece, ref_loss=lambda row, piece: 0.1 * (row % 5))
    config = LinUpper(r=0.5, warmup=0.0, ramp=0.1, scope=scope, unit="document", reference="ref_loss")
    job = changed(job, reweight=config, attend="document")
    train(at(job, tmp_path / "one"), Saver(str(tmp_path / "one")), 0, 1)
    finish(start(job, tmp_path / "two", 2))
    assert_same_bits(result(tmp_path / "one"), result(tmp_path / "two"))
    assert min(result(tmp_path / "one")["record"]["effective"]) < 0.95


@pytest.mark.parametrize("unit", ["row", "document"])
@pytest.mark.parametrize("level", [800.0, -800.0])
def test_a_prior_that_all_rows_have_alike_changes_nothing_however_large(job, tmp_path, unit, level):
    job = changed(job, steps=4, reweight=LinUpper(r=0.5, warmup=0.0, ramp=0.0, unit=unit))
    train(at(job, tmp_path / "none"), Saver(str(tmp_path / "none")), 0, 1)
    carry(job, log_prior=lambda row, piece: level)
    train(at(job, tmp_path / "level"), Saver(str(tmp_path / "level")), 0, 1)
    assert_same_bits(result(tmp_path / "none"), result(tmp_path / "level"))


def test_a_row_that_holds_all_weight_is_the_only_effective_one(job):
    chosen = int(job.sampler.batch(0, 1)[1][0][0])
    carry(job, log_prior=lambda row, piece: 3.0 if row == chosen else -np.inf)
    trainer = Trainer(changed(job, reweight=Uniform(by_tokens=False)), 0, 1, CPU)
    trainer.train_step()
    trainer.feed.close()
    assert trainer.record["effective"][0] == pytest.approx(1 / 16)
    assert trainer.record["weight_max"][0] == pytest.approx(16.0)
    assert trainer.record["weight_min"][0] == 0.0


@pytest.mark.parametrize("order", [MIXTURE, ByPrior()])
def test_a_weight_that_is_no_number_is_named_before_the_run(job, order):
    carry(job, log_prior=lambda row, piece: np.inf if row in (9, 11) else 0.0)
    with pytest.raises(
        DataError, match=r"rows\[0\], row 9: a log_prior of inf, in 2 rows; expected the logarithm of a"
    ):
        check_priors(changed(job, order=order))


def test_rows_of_which_none_has_a_weight_are_named_before_the_run(job):
    check_priors(job)
    carry(job, log_prior=lambda row, piece: -np.inf if row else None)  # none is weight 1
    check_priors(job)
    files = [(_, file, _)] = job.sources[0].rows.files
    path = file.local()
    table = pq.read_table(path)
    values = pa.array([-np.inf] * len(table), pa.float64())
    pq.write_table(table.set_column(table.column_names.index("log_prior"), "log_prior", values), path)
    fresh = RowSource("rows", PackedRows(tuple(files), 16, "uint16", 0, 50), 1.0)  # which has read nothing yet
    with pytest.raises(DataError, match=r"-inf in all rows"):
        check_priors(changed(job, sources=(fresh,)))


def test_a_document_without_a_reference_is_named_before_the_run(job):
    carry(job, ref_loss=lambda row, piece: None if row == 9 else 1.0)
    job = changed(job, reweight=LinUpper(reference="ref_loss"))
    with pytest.raises(DataError, match=r"row 9: 1 rows in which a document has no ref_loss.*score_loss"):
        check_reference(job)
    check_reference(changed(job, reweight=LinUpper()))
    assert columns([LinUpper(reference="other")]) == ("other",)


def test_what_rows_have_read_does_not_travel_with_a_job(job):
    """A column of a billion rows would be eight gigabytes in the message that starts a worker."""
    carry(job, ref_loss=lambda row, piece: 1.0)
    before = len(pickle.dumps(job))
    check_reference(changed(job, reweight=LinUpper(reference="ref_loss")))
    ids = job.sources[0].rows.take(np.arange(3)).ids
    assert len(pickle.dumps(job)) == before
    assert np.array_equal(pickle.loads(pickle.dumps(job)).sources[0].rows.take(np.arange(3)).ids, ids)
