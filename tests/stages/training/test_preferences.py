"""Training on pairs of answers: groups as samples of the weights, the same bits however it runs, and the references of
`likelihood` at the start.
"""

import dataclasses
import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from models.losses import IGNORE
from models.objective import CROSS_ENTROPY
from models.objectives.preference import DPO, SimPO
from models.optim_config import AdamW
from models.presets import Llama
from models.reweight_config import LinUpper, Uniform
from pipeline.errors import DataError, RecipeError
from stages.generate.likelihood import Likelihood
from stages.read.read import Read
from stages.tokens.pack import Pack
from stages.tokens.pack_samples import PackSamples
from stages.tokens.preference import Preference
from stages.tokens.sample import Answer
from stages.tokens.tokenizer import Tokenizer
from stages.training.checkpoint import Saver
from stages.training.evaluate import Evaluate
from stages.training.feed import Feed
from stages.training.mixture import check_reference
from stages.training.pretrain import Pretrain
from stages.training.samples import Samples
from stages.training.stage import Stage
from stages.training.stream import RowStream
from stages.training.worker import Trainer, train
from tests.stages.run_here import Here
from tests.stages.training.rows import changed
from tests.stages.training.test_weighting import carry
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
EXACT = LinUpper(r=0.5, warmup=0.0, ramp=0.0, scope="global_exact", unit="group")


@pytest.fixture
def pairs(job):
    """The job over rows of one pair each, of which the second half of every answer is learned."""
    carry(job, chosen_nats=lambda row, piece: 9.0 + row % 3, rejected_nats=lambda row, piece: 11.0)
    [(_, file, _)] = job.sources[0].rows.files
    table = pq.read_table(file.local())
    learned = []
    for starts, used in zip(table["doc_start"].to_pylist(), table["tokens"].to_pylist(), strict=True):
        ends = [*starts[1:], used]
        learned.append([at for s, e in zip(starts, ends, strict=True) for at in ((s + e) // 2, e) if (s + e) // 2 < e])
    numbers = pa.list_(pa.int32())
    for name, values in (("group", [[1, 1]] * len(learned)), ("role", [[0, 1]] * len(learned)), ("learned", learned)):
        table = table.append_column(f"sample_{name}", pa.array(values, numbers))
    pq.write_table(table, file.local())
    return changed(job, objective=SimPO(), attend="document", model=Llama("1m", **TINY), reweight=None)


def loss_of(job):
    """The objective of the first step, and its gradient."""
    trainer = Trainer(changed(job, optimizer=AdamW(clip=0.0)), 0, 1, CPU)
    trainer.train_step()
    trainer.feed.close()
    return trainer.record["objective"][0], {n: p.grad.clone() for n, p in trainer.model.named_parameters()}, trainer


@pytest.mark.parametrize("objective", [SimPO(), DPO()], ids=lambda one: type(one).__name__)
def test_without_weights_every_pair_counts_the_same(pairs, objective):
    """Against a loop over the pairs of the batch, and one backward of their mean."""
    pairs = changed(pairs, objective=objective)
    found, gradient, trainer = loss_of(pairs)
    feed, net = Feed(pairs, 0, 1, CPU), Trainer(pairs, 0, 1, CPU).model
    losses = []
    for micro in feed.batch(0):
        for row in range(len(micro.ids_bt)):
            one = {name: getattr(micro, name)[row : row + 1] for name in ("ids_bt", "labels_bt", "documents_bt")}
            one |= {name: getattr(micro, name)[row : row + 1] for name in ("groups_bd", "roles_bd", "rows_b")}
            pieces = {name: values[row : row + 1] for name, values in micro.pieces.items()}
            losses.append(net(dataclasses.replace(micro, **one, pieces=pieces, log_prior_b=None), objective).loss_u[1])
    feed.close()
    mean = torch.stack(losses).mean()
    mean.backward()
    assert len(losses) == pairs.node.batch_rows
    assert found == pytest.approx(mean.item(), rel=1e-6)
    for name, parameter in net.named_parameters():
        assert torch.allclose(gradient[name], parameter.grad, rtol=2e-4, atol=2e-7), name
    assert trainer.record["effective"][0] == pytest.approx(1.0)


def test_the_record_shows_the_plain_loss_whatever_is_minimised(pairs):
    _, _, one = loss_of(pairs)
    _, _, other = loss_of(changed(pairs, objective=DPO()))
    assert one.record["loss"] == other.record["loss"]
    assert one.record["tokens"] == other.record["tokens"]


def test_the_record_has_the_plain_loss_of_each_side(pairs):
    _, _, trainer = loss_of(pairs)
    feed, net = Feed(pairs, 0, 1, CPU), Trainer(pairs, 0, 1, CPU).model
    nats, labels = [0.0, 0.0], [0, 0]
    for micro in feed.batch(0):
        score_bt = net(micro, CROSS_ENTROPY).score_bt.detach()
        for row, roles in enumerate(micro.roles_bd.tolist()):
            for number, role in enumerate(roles, 1):
                here = (micro.documents_bt[row] == number) & (micro.labels_bt[row] != IGNORE)
                nats[role] += float(score_bt[row][here].double().sum())
                labels[role] += int(here.sum())
    feed.close()
    for role, name in enumerate(("chosen", "rejected")):
        assert trainer.record[f"loss_{name}"] == pytest.approx([nats[role] / labels[role]], rel=1e-5)
    assert nats[0] != nats[1]
    assert not any(name.startswith("loss_") for name in loss_of(changed(pairs, objective=CROSS_ENTROPY))[2].record)


def test_groups_are_weighted_by_their_plain_loss_and_tokens_of_a_group_alike(pairs):
    weighted = changed(pairs, reweight=EXACT)
    _, gradient, trainer = loss_of(weighted)
    assert trainer.record["effective"][0] < 0.99
    _, even, _ = loss_of(changed(pairs, reweight=Uniform(by_tokens=False)))
    assert not torch.equal(gradient["norm.weight"], even["norm.weight"])
    # a row holds one pair here, so a plain loss weighted by group is one weighted by row
    plain = {"objective": CROSS_ENTROPY}
    by_group, by_row = (loss_of(changed(weighted, **plain, reweight=dataclasses.replace(EXACT, unit=unit)))
                        for unit in ("group", "row"))  # fmt: skip
    for name, tensor in by_group[1].items():
        torch.testing.assert_close(tensor, by_row[1][name], rtol=2e-4, atol=2e-7)


@pytest.mark.long
def test_the_same_bits_with_two_processes_and_after_a_kill(pairs, tmp_path):
    job = changed(pairs, objective=DPO(), reweight=dataclasses.replace(EXACT, reference="chosen_nats"))
    train(at(job, tmp_path / "one"), Saver(str(tmp_path / "one")), 0, 1)
    broken = tmp_path / "broken"
    kill_after_first_checkpoint(job, broken, processes=2)
    finish(start(job, broken, 2))
    assert_same_bits(result(tmp_path / "one"), result(broken))
    assert result(broken)["resources"]["resumed_at"] > 0
    record = result(broken)["record"]
    assert record["objective"][-1] < record["objective"][0]


def test_a_prior_counts_once_for_a_group(pairs):
    carry(pairs, log_prior=lambda row, piece: 0.3 * (row % 4))
    feed = Feed(pairs, 0, 1, CPU)
    micro = feed.batch(0)[0]
    feed.close()
    held = Samples(micro, "group")
    some = held.tokens_u > 0
    assert held.log_prior_u is not None
    assert torch.allclose(held.log_prior_u[some], 0.3 * (held.rows_u[some] % 4).double())
    assert int(some.sum()) == len(micro.rows_b)


def test_a_pair_without_its_reference_is_named(pairs):
    job = changed(pairs, objective=DPO(chosen="missing"))
    carry(job, missing=lambda row, piece: None if row == 5 else 1.0)
    with pytest.raises(DataError, match=r"row 5: 1 rows in which a document has no missing.*likelihood"):
        check_reference(job)


def test_what_does_not_fit_is_named_before_anything_runs():
    docs = Read(paths=("unread",), keep=("prompt", "chosen", "rejected"))
    words = Tokenizer(docs=docs)
    rows = PackSamples(docs=docs, tokenizer=words, sample=Preference())
    fields = {"rows": rows, "model": Llama("1m"), "objective": SimPO(), "attend": "document"}
    Pretrain(**fields).check()
    answers = PackSamples(docs=docs, tokenizer=words, sample=Answer(prompt="prompt", answer="chosen"))
    for wrong, said in [
        ({"rows": Pack(docs=docs, tokenizer=words)}, r"rows: rows of pack, for SimPO, .*expected pack_samples"),
        ({"rows": answers}, "samples of answer, for SimPO, .*expected samples of chosen, rejected"),
        ({"attend": "row"}, "attend: row, for SimPO.*: one answer would see the other"),
        ({"schedule": (Stage(until=1.0, attend="row"),)}, "attend: row, for SimPO"),
        ({"reweight": LinUpper()}, "weights of a row, for SimPO.*unit: group"),
        ({"objective": DPO()}, r"without the column 'chosen_nats'.*carry: \[chosen_nats\]"),
        ({"rows": docs, "feed": RowStream(), "tokenizer": words}, "a stream, for SimPO"),
        ({"rows": Pack(docs=docs, tokenizer=words), "objective": CROSS_ENTROPY, "reweight": EXACT},
         "rows of pack, for weights of groups"),
    ]:  # fmt: skip
        with pytest.raises(RecipeError, match=said):
            Pretrain(**fields | wrong).check()
    Pretrain(**fields | {"reweight": EXACT}).check()
    model = Pretrain(**fields)
    with pytest.raises(RecipeError, match=r"evaluate\.sample: a sample of chosen, rejected"):
        Evaluate(model=model, docs=docs, which="all", sample=Preference()).check()


@pytest.mark.long
def test_at_its_start_a_model_is_its_own_reference_and_equal_sides_are_no_preference(tmp_path):
    words = "tide moon harbour salt rope lantern gull".split()
    lines = [
        {"id": f"{n}", "text": " ".join(words), "prompt": words[n % 7],
         "chosen": f" {words[(n + 1) % 7]} and more", "rejected": f" {words[(n + 2 + n % 5) % 7]}" if n % 6 else ""}
        for n in range(48)
    ]  # fmt: skip
    lines += [{"id": "same", "text": "tide", "prompt": "a", "chosen": " b", "rejected": " b"}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    docs = Read(paths=(str(tmp_path / "a.jsonl"),), keep=("prompt", "chosen", "rejected"))
    tokenizer = Tokenizer(docs=docs, vocab_size=300)
    common = {"model": Llama("1m", **TINY), "precision": "fp32", "device": "cpu", "batch_rows": 4}
    base = Pretrain(rows=Pack(docs=docs, tokenizer=tokenizer, length=48), steps=2, **common)
    for side in ("chosen", "rejected"):
        docs = Likelihood(docs=docs, model=base, prompt="{prompt}", target=f"{{{side}}}", ends=True, as_=side)
    rows = PackSamples(
        docs=docs, tokenizer=tokenizer, length=48, sample=Preference(), carry=("chosen_nats", "rejected_nats")
    )
    tuned = Pretrain(rows=rows, start=base, objective=DPO(beta=0.5), attend="document", steps=4, **common)
    done = Here(tuned, tmp_path / "store")
    data = tmp_path / "store" / done.state.folder(tuned) / "data"
    steps = pq.read_table(data / "train/all/steps.parquet").to_pydict()
    assert steps["objective"][0] == pytest.approx(math.log(2), abs=2e-5), "the tokens are those of `likelihood`"
    assert min(steps["objective"][1:]) < math.log(2) - 1e-4
    manifest = done.state.manifest(rows)
    assert manifest is not None
    counts = manifest["counts"]["pack"]
    assert (counts["dropped.no_answer"], counts["dropped.equal_sides"]) == (8, 1)
    assert counts["documents"] == 49 == counts["packed"] + 9
    packed = tmp_path / "store" / done.state.folder(rows) / "data" / "pack"
    for line in pq.read_table(next(packed.glob("*.rows.parquet"))).to_pylist():
        assert line["sample_role"] == [0, 1] * (len(line["sample_role"]) // 2)
        assert line["doc_row"][::2] == line["doc_row"][1::2], "a group is never parted"
        assert np.array_equal(line["sample_group"][::2], line["sample_group"][1::2])
