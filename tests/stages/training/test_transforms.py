"""Starts that are made longer or deeper: what stays as it was, whose tensors are whose, and what cannot be."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from models import files
from models.build import build
from models.presets import Llama, Lost
from models.transfer import NoWay, start_from
from models.transforms import Depth, RopeBase
from pipeline.errors import RecipeError
from pipeline.files.open_store import file_on_disk
from stages.read.read import Read
from stages.tokens.pack import Pack
from stages.tokens.tokenizer import Tokenizer
from stages.training.pretrain import Pretrain
from stages.training.worker import Trainer
from tests.models.calls import logits
from tests.stages.training.rows import changed
from tests.stages.training.test_worker import TINY, job

__all__ = ["job"]  # the fixture
WORDS, LENGTH = 50, 32
SMALL = {"hidden": 32, "inter": 48, "layers": 4, "heads": 2}
KINDS = [
    Llama("1m", **SMALL),
    Llama("1m", **SMALL, kv_heads=1, tied=True),
    Lost("1m", **SMALL, rank=8, density=0.1),
]
RUNS = ((0, 3), (1, 4))


def ids() -> torch.Tensor:
    return torch.randint(0, WORDS, (2, 20), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("config", KINDS, ids=lambda c: f"{type(c).__name__}{c.kv_heads or ''}")
def test_layers_that_add_nothing_leave_the_model_as_it_was_to_the_bit(config) -> None:
    model = build(config, WORDS, LENGTH, seed=0)
    deeper = Depth(layers=RUNS, init="identity").apply(model)
    assert deeper.config == replace(config, layers=6)
    with torch.no_grad():
        # [0 1 2] [1 2 3], the second 1 and 2 add nothing
        assert (logits(deeper, ids()) - logits(model, ids())).abs().max().item() == 0.0
    logits(deeper, ids()).sum().backward()
    still = [name for name, one in deeper.layers[3].named_parameters() if not one.grad.any()]
    assert "self_attn.o_proj.weight" not in still
    assert "self_attn.o_proj.B" not in still, "what adds nothing can learn to"


@pytest.mark.parametrize("init", ["copy", "identity"])
@pytest.mark.parametrize("config", KINDS, ids=lambda c: f"{type(c).__name__}{c.kv_heads or ''}")
def test_every_layer_has_tensors_of_its_own(config, init) -> None:
    model = build(config, WORDS, LENGTH, seed=0)
    deeper = Depth(layers=RUNS, init=init).apply(model)
    held = [t.data_ptr() for one in (model, deeper) for t in one.state_dict().values()]
    assert len(set(held)) == len(held)
    if init == "copy":
        for layer, origin in enumerate([0, 1, 2, 1, 2, 3]):
            for name, tensor in deeper.layers[layer].state_dict().items():
                assert torch.equal(tensor, model.layers[origin].state_dict()[name]), (layer, name)


def test_another_base_turns_the_positions_and_nothing_else() -> None:
    model = build(KINDS[0], WORDS, LENGTH, seed=0)
    slower = RopeBase(theta=80_000.0).apply(model)
    assert torch.equal(logits(slower, ids()), logits(build(slower.config, WORDS, LENGTH, seed=0), ids()))
    assert not torch.equal(logits(slower, ids()), logits(model, ids()))
    same = RopeBase(theta=KINDS[0].rope_theta).apply(model)
    assert torch.equal(logits(same, ids()), logits(model, ids()))


def test_a_training_begins_with_what_they_make_of_its_start(job, tmp_path) -> None:
    base = build(Llama("1m", **TINY), job.vocab_size, job.length, seed=9)
    files.save(tmp_path / "base", base)
    parts = (RopeBase(theta=80_000.0), Depth(layers=((0, 2), (1, 2)), init="identity"))
    wanted = Llama("1m", **TINY | {"layers": 3}, rope_theta=80_000.0)
    run = changed(job, start=file_on_disk(tmp_path / "base"), transform=parts, model=wanted)
    trainer = Trainer(run, 0, 1, torch.device("cpu"))
    trainer.feed.close()
    expected = parts[1].apply(parts[0].apply(base))
    assert trainer.model.config == wanted
    for name, tensor in expected.state_dict().items():
        assert torch.equal(tensor, trainer.model.state_dict()[name]), name


def test_what_cannot_be_is_named_by_the_plan(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"theta: found 0.5, expected at least 1"):
        RopeBase(theta=0.5)
    for runs in ((), ((3, 3),), ((-1, 2),)):
        with pytest.raises(ValueError, match="layers: found"):
            Depth(layers=runs)
    docs = Read(paths=("unread",))
    rows = Pack(docs=docs, tokenizer=Tokenizer(docs=docs))
    base = Pretrain(rows=rows, model=KINDS[0])
    deep = Depth(layers=RUNS)
    fields = {"rows": rows, "start": base, "model": replace(KINDS[0], layers=6), "transform": (deep,)}
    Pretrain(**fields).check()
    for wrong, said in [
        ({"transform": (Depth(layers=((0, 5),)),)}, r"transform\[0\]: layers: found layer 4, expected 0 to 3"),
        ({"transform": (deep, deep, Depth(layers=((0, 7),)))}, r"transform\[2\]: layers: found layer 6"),
        ({"model": KINDS[0]}, "a model of hidden 32, inter 48, layers 6"),
        ({"transform": (deep, RopeBase(theta=2.0))}, "a model of rope_theta 2.0"),
        ({"start": None}, "transforms of a draw"),
    ]:
        with pytest.raises(RecipeError, match=said):
            Pretrain(**fields | wrong).check()
    files.save(tmp_path / "m", build(KINDS[0], WORDS, LENGTH, seed=0))
    with pytest.raises(NoWay, match=r"Depth\.layers: found layer 4"):
        start_from(tmp_path / "m", KINDS[0], WORDS, LENGTH, 0, transforms=(Depth(layers=((0, 5),)),))
