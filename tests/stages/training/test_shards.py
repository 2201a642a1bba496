"""One copy of the weights over several processes: the gradients and losses of a plain run, and resume in any layout."""

import shutil

import pytest
import torch

from models.muon import Muon
from models.optim_config import AdamW
from models.presets import Llama
from models.reweight_config import LinUpper
from pipeline.errors import RecipeError
from stages.read.read import Read
from stages.split import Split
from stages.tokens.pack import Pack
from stages.tokens.tokenizer import Tokenizer
from stages.training.checkpoint import Saver
from stages.training.pretrain import Pretrain
from stages.training.worker import Trainer, train
from tests.stages.training.one_step import TINY, gradients
from tests.stages.training.rows import changed
from tests.stages.training.test_worker import (
    assert_same_bits,
    at,
    finish,
    job,
    kill_after_first_checkpoint,
    result,
    start,
)

__all__ = ["job"]  # the fixture


def assert_close(one, other):
    """Losses within 1e-5 of their size at every step, over batches of the same rows."""
    assert one["record"]["tokens"] == other["record"]["tokens"]
    for name in ("loss", "objective", "gradient_norm"):
        assert one["record"][name] == pytest.approx(other["record"][name], rel=1e-5), name
    assert one["model"].keys() == other["model"].keys()
    for name, tensor in one["model"].items():
        assert torch.allclose(tensor, other["model"][name], rtol=1e-4, atol=1e-5), name


def test_the_gradient_of_every_parameter_is_that_of_a_whole_copy(job, tmp_path):
    """A mean over processes in place of the sum would hide in the losses: Adam takes a constant factor out."""
    job = changed(job, optimizer=AdamW(clip=0.0))
    finish(start(changed(job, shard=2), tmp_path / "two", 2, "tests.stages.training.one_step"))
    mine = torch.load(tmp_path / "two" / "gradients.pt", weights_only=True)
    for variant, expected in gradients(job, 0, 1).items():
        assert mine[variant].keys() == expected.keys()
        assert float(expected[""]) > 0.0
        for name, gradient in expected.items():
            assert torch.allclose(mine[variant][name], gradient, rtol=1e-4, atol=1e-7), (variant, name)


@pytest.mark.long
def test_killed_in_shards_it_goes_on_in_shards_or_whole(job, tmp_path):
    train(at(job, tmp_path / "plain"), Saver(str(tmp_path / "plain")), 0, 1)
    plain = result(tmp_path / "plain")
    shards = changed(job, shard=2, fingerprint=job.fingerprint)  # a checkpoint of it fits whole copies too
    finish(start(shards, tmp_path / "unbroken", 2))
    assert_close(result(tmp_path / "unbroken"), plain)
    kill_after_first_checkpoint(shards, tmp_path / "killed", 2)
    shutil.copytree(tmp_path / "killed", tmp_path / "whole")
    finish(start(shards, tmp_path / "killed", 2))
    assert_same_bits(result(tmp_path / "killed"), result(tmp_path / "unbroken"))
    train(at(job, tmp_path / "whole"), Saver(str(tmp_path / "whole")), 0, 1)
    assert_close(result(tmp_path / "whole"), plain)
    assert result(tmp_path / "killed")["resources"]["resumed_at"] > 0
    assert result(tmp_path / "whole")["resources"]["resumed_at"] > 0


@pytest.mark.long
def test_two_copies_in_two_shards_each_go_on_from_one_whole_copy(job, tmp_path):
    changes = {"model": Llama("1m", **TINY), "reweight": LinUpper(r=0.5, scope="global_exact"), "attend": "document"}
    job = changed(job, **changes)
    train(at(job, tmp_path / "plain"), Saver(str(tmp_path / "plain")), 0, 1)
    stopped, saver = at(job, tmp_path / "shards"), Saver(str(tmp_path / "shards"))
    saver.scratch.write("stop", b"")
    assert train(stopped, saver, 0, 1) == "stopped"
    saver.scratch.remove("stop")
    finish(start(changed(job, shard=2, fingerprint=job.fingerprint), tmp_path / "shards", 4))
    assert_close(result(tmp_path / "shards"), result(tmp_path / "plain"))
    assert result(tmp_path / "shards")["resources"]["resumed_at"] == 1


def test_processes_that_make_no_whole_group_are_an_error(job):
    with pytest.raises(RecipeError, match="2 with 1 processes"):
        Trainer(changed(job, shard=2), 0, 1, torch.device("cpu"))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"workers": 9}, r"pretrain\.workers: 9.*1 to 8"),
        ({"workers": (0, 2)}, r"pretrain\.workers.*; 0 cannot be"),
        ({"workers": (8, 99)}, r"pretrain\.workers.*; 9, 10, 11, \.\.\. cannot be"),
        ({"workers": (2, 1)}, r"pretrain\.workers.*the least and the most"),
        ({"shard": 2, "workers": (2, 4)}, r"pretrain\.workers.*multiples of 2 \(shard\).*; 3 cannot be"),
        ({"shard": 2, "workers": 6}, r"pretrain\.workers"),
        ({"shard": 3, "workers": 3}, r"pretrain\.shard"),
        ({"shard": 2, "workers": 2, "reduce": "tree"}, r"pretrain\.reduce.*whole gradient"),
        ({"shard": 2, "workers": 2, "optimizer": Muon()}, r"pretrain\.optimizer.*whole copies"),
    ],
)
def test_a_number_of_workers_that_cannot_be_is_named(wrong, said):
    docs = Split(docs=Read(paths=("docs.jsonl",)), held_out=0.2)
    shared = {
        "rows": Pack(docs=docs, tokenizer=Tokenizer(docs=docs, vocab_size=320), length=32),
        "model": Llama("1m"),
        "micro_batches": 8,
    }
    for right in ({"workers": 3}, {"workers": (1, 8)}, {"shard": 2, "workers": 4}, {"shard": 4, "workers": (4, 4)}):
        Pretrain(**shared, **right).check()
    with pytest.raises(RecipeError, match=said):
        Pretrain(**shared, **wrong).check()


def test_a_training_declares_the_threads_of_all_its_workers():
    docs = Split(docs=Read(paths=("docs.jsonl",)), held_out=0.2)
    rows = Pack(docs=docs, tokenizer=Tokenizer(docs=docs, vocab_size=320), length=32)
    for workers in (8, (1, 8)):
        for device, gpus in (("cpu", 0), ("cuda", 8)):
            node = Pretrain(
                rows=rows,
                model=Llama("1m"),
                workers=workers,
                threads=4,
                micro_batches=8,
                device=device,
                precision="fp32",
            )
            (phase,) = node.phases()
            assert (phase.resources.cpus, phase.resources.gpus) == (32, gpus)
