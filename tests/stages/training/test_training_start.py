"""How a run begins: SVDs made once and kept, fields that say auto, the model of another node; and how it is stopped."""

import json
import re
import time

import pytest
import torch
from local_context import LocalContext

from models import channels, files
from models.build import build
from models.channels import ChannelsDiffer
from models.presets import Llama, Lost
from models.sltrain_config import SLTrain
from pipeline.errors import DataError, UserError
from pipeline.files.open_store import file_on_disk
from stages.read.read import Read
from stages.tokens.pack import Pack
from stages.tokens.tokenizer import Tokenizer
from stages.training import settings
from stages.training.checkpoint import RESULT, STOP, Request, Saver
from stages.training.drive import training_of
from stages.training.hf_model import HfModel
from stages.training.pretrain import Pretrain
from stages.training.process import prepare
from stages.training.state import StatePart
from stages.training.worker import Trainer, train
from tests.models.calls import logits
from tests.stages.training.rows import changed
from tests.stages.training.test_worker import TINY, at, finish, job, start

__all__ = ["job"]  # the fixture
CPU = torch.device("cpu")
MATRICES = 14  # of two blocks
COUNTED = "tests.stages.training.counted_start"


def made(folder, processes):
    return [int((folder / f"made-{rank}").read_text()) for rank in range(processes)]


def test_each_matrix_is_taken_apart_once_in_a_group_and_by_nobody_where_a_checkpoint_is(job, tmp_path):
    for processes in (1, 2):
        finish(start(job, tmp_path / str(processes), processes, COUNTED))
        assert made(tmp_path / str(processes), processes) == [MATRICES // processes] * processes
    one, two = ((tmp_path / str(processes) / "weights").read_bytes() for processes in (1, 2))
    assert one == two
    saver = Saver(str(tmp_path / "2"))
    trainer = Trainer(at(job, tmp_path / "2"), 0, 1, CPU)
    trainer.train_step()
    saver.save(1, trainer.written(), trainer.rest())
    finish(start(job, tmp_path / "2", 2, COUNTED))
    assert made(tmp_path / "2", 2) == [0, 0]


def test_a_start_that_took_long_is_kept_and_a_damaged_one_made_again(job, tmp_path):
    wide = Lost("1m", hidden=256, inter=256, layers=1, heads=2, rank=8, density=0.05)
    job = changed(job, model=wide)
    finish(start(job, tmp_path / "kept", 1, COUNTED))
    kept = sorted((tmp_path / "kept").glob("start-*"))
    assert len(kept) == made(tmp_path / "kept", 1)[0] == 7
    first = (tmp_path / "kept" / "weights").read_bytes()
    kept[0].write_bytes(kept[0].read_bytes()[:50])
    finish(start(job, tmp_path / "kept", 1, COUNTED))
    assert made(tmp_path / "kept", 1) == [1]
    assert (tmp_path / "kept" / "weights").read_bytes() == first


def test_processes_whose_channels_differ_do_not_begin(job, monkeypatch):
    monkeypatch.setattr(channels.dist, "get_world_size", lambda group=None: 2)

    def gather(found, mine, group=None):
        found[:] = [mine, "of another seed"]

    monkeypatch.setattr(channels.dist, "all_gather_object", gather)
    with pytest.raises(ChannelsDiffer, match="processes \\[1\\]"):
        Trainer(job, 0, 2, CPU)


def test_auto_is_decided_when_the_node_is_built_and_is_part_of_it(monkeypatch):
    docs = Read(paths=("docs.jsonl",))
    shared = {"rows": Pack(docs=docs, tokenizer=Tokenizer(docs=docs)), "model": Llama("1m")}
    for gpu, bf16, expected in [
        (True, False, ("cuda", "bf16", "on")),
        (False, True, ("cpu", "bf16", "off")),
        (False, False, ("cpu", "fp32", "off")),
    ]:
        monkeypatch.setattr(settings, "has_gpu", lambda gpu=gpu: gpu)
        monkeypatch.setattr(settings, "multiplies_bf16", lambda bf16=bf16: bf16)
        node = Pretrain(**shared)
        assert (node.device, node.precision, node.compile) == expected
        stated = Pretrain(**shared, device="cpu", precision="fp32", compile="off")
        assert (stated.device, stated.precision, stated.compile) == ("cpu", "fp32", "off")


def test_a_wish_to_stop_is_looked_for_at_most_once_a_second(job, monkeypatch):
    saver, looked, now = Saver(job.scratch), [], [100.0]
    exists = saver.scratch.exists
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(saver.scratch, "exists", lambda name: looked.append(name) or exists(name))
    assert saver.request() is Request.NONE
    saver.scratch.write(STOP, b"")
    for _ in range(50):
        now[0] += 0.01
        assert saver.request() is Request.NONE
    now[0] += 1.0
    assert saver.request() is Request.STOP
    assert looked == [STOP, STOP]


def test_a_run_goes_on_from_the_model_of_another(job, tmp_path):
    first = at(job, tmp_path / "first", model=Llama("1m", **TINY), steps=4)
    train(first, Saver(first.scratch), 0, 1)
    given = tmp_path / "first" / "result.safetensors"
    ids = torch.randint(0, job.vocab_size, (2, 12), generator=torch.Generator().manual_seed(0))
    trained = files.load(given)
    same = Trainer(at(job, tmp_path / "same", model=first.node.model, start=file_on_disk(given)), 0, 1, CPU)
    assert torch.equal(logits(same.model, ids), logits(trained, ids))
    exact = Lost("1m", **TINY, rank=32, density=0.1, activation="none", values="residual", scale="exact")
    lost = Trainer(at(job, tmp_path / "lost", model=exact, start=file_on_disk(given)), 0, 1, CPU)
    torch.testing.assert_close(logits(lost.model, ids), logits(trained, ids), rtol=0, atol=1e-4)
    wrong = [
        Llama("1m", **TINY | {"layers": 1}), SLTrain("1m", **TINY, rank=4, density=0.1),
        Llama("1m", **TINY, norm_eps=1e-5),
    ]  # fmt: skip
    for model in wrong:
        with pytest.raises(DataError, match=r"pretrain\.start"):
            Trainer(at(job, tmp_path / "wrong", model=model, start=file_on_disk(given)), 0, 1, CPU)


class Inputs(LocalContext):
    """Packed rows and a model, by the field that takes them."""

    def path(self, phase, key, ext, of=None):
        return self.folder / ("rows" if of == ("rows", 0) else str(of)) / f"{phase}{ext}"


def test_a_start_whose_tokens_have_other_ids_is_named(job, tmp_path):
    rows = job.sources[0].rows
    facts = {"shards": [], "draw": None, "dtype": "uint16", "end_id": 0, "vocab_size": 3, "length": 16}
    end = {"content": "<|endoftext|>", "id": 0, "special": True}
    words = {"rows": {"a": 1, "b": 2}, "start": {"a": 2, "b": 1}}
    for name, vocabulary in words.items():
        (tmp_path / name).mkdir(exist_ok=True)
        text = json.dumps({"model": {"vocab": vocabulary}, "added_tokens": [end]})
        for phase in ("meta", "train"):
            (tmp_path / name / f"{phase}").mkdir()
            (tmp_path / name / f"{phase}/tokenizer.json").write_text(text)
    shard = {"name": "a", "rows": rows.rows}
    (tmp_path / "rows/meta.json").write_text(json.dumps(facts | {"shards": [shard]}))
    docs = Read(paths=("unread",))
    packed = Pack(docs=docs, tokenizer=Tokenizer(docs=docs), length=16)
    node = Pretrain(rows=packed, model=Llama("1m", **TINY), start=HfModel(paths=("unread",)))
    with pytest.raises(DataError, match=r"pretrain\.start: a tokenizer whose 'a' is 2; expected 1"):
        training_of(node, Inputs(node, tmp_path))
    (tmp_path / "start/train/tokenizer.json").write_bytes((tmp_path / "rows/meta/tokenizer.json").read_bytes())
    assert training_of(node, Inputs(node, tmp_path))[0].start is not None


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has what is to be missing")
def test_a_gpu_that_torch_does_not_see_is_named(job):
    with pytest.raises(
        UserError, match=rf"pretrain\.device: cuda, and torch {re.escape(torch.__version__)} sees no GPU"
    ):
        prepare(changed(job, device="cuda").node)


def test_an_operation_whose_bits_may_differ_is_an_error(job):
    """A mere warning would also let CUDA's attention take its fast backward, which gives other bits each time."""
    prepare(job.node)
    with pytest.raises(RuntimeError, match="deterministic"):
        torch.zeros(3).put_(torch.tensor([1, 1]), torch.tensor([1.0, 2.0]))


def test_a_model_with_an_activation_between_its_factors_starts_no_other_kind(job, tmp_path):
    lost = build(job.node.model, job.vocab_size, job.length, 0)
    files.save(tmp_path / "lost.safetensors", lost)
    with pytest.raises(DataError, match="activation between"):
        Trainer(
            at(job, tmp_path, model=Llama("1m", **TINY), start=file_on_disk(tmp_path / "lost.safetensors")), 0, 1, CPU
        )


@pytest.mark.parametrize("aside", ["off", "on"])
def test_a_store_that_refuses_a_checkpoint_leaves_the_older_ones(job, tmp_path, monkeypatch, aside):
    saver = Saver(job.scratch)
    written, write = [], StatePart.write

    def refused(*arguments):
        written.append(1)
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        return write(*arguments)

    monkeypatch.setattr(StatePart, "write", refused)
    with pytest.raises(OSError, match="No space"):
        train(changed(job, async_checkpoints=aside), saver, 0, 1)
    assert [name[-2:] for name in saver.whole()] == ["03", "06"]
    assert not saver.scratch.exists(RESULT)
