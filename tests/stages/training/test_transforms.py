"""Starts that are made longer or deeper: what stays as it was, whose tensors are whose, and what cannot be."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from models import files
from models.adapters.norms import Norms
from models.batch import Batch
from models.build import build
from models.presets import Llama, Lost
from models.transfer import NoWay, start_from
from models.transforms import AddTokens, Depth, RopeBase, similarities
from pipeline.errors import RecipeError
from pipeline.files.open_store import file_on_disk
from stages.read.read import Read
from stages.tokens.chat import Chat
from stages.tokens.pack import Pack
from stages.tokens.pack_samples import PackSamples
from stages.tokens.tokenizer import Tokenizer
from stages.training.checkpoint import RESULT, Saver
from stages.training.pretrain import Pretrain
from stages.training.worker import Trainer, train
from tests.models.calls import logits
from tests.stages.run_here import Here
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


@pytest.mark.parametrize("config", KINDS, ids=lambda c: f"{type(c).__name__}{c.kv_heads or ''}")
def test_new_tokens_are_as_likely_as_the_others_on_average_and_change_no_other(config) -> None:
    model = build(config, WORDS, LENGTH, seed=0)
    wider = AddTokens(tokens=("<a>", "<b>")).apply(model)
    assert (wider.vocab_size, wider.config, (wider.lm_head is None)) == (WORDS + 2, config, config.tied)
    before, after = logits(model, ids()), logits(wider, ids())
    assert torch.equal(after[..., :WORDS], before)
    torch.testing.assert_close(after[..., WORDS:], before.mean(-1, keepdim=True).expand(-1, -1, 2), rtol=0, atol=1e-5)
    assert not torch.equal(logits(wider, torch.full((1, 2), WORDS)), logits(wider, torch.zeros(1, 2, dtype=torch.long)))


def rows_of(count: int = 4) -> Batch:
    drawn = torch.randint(0, WORDS, (count, LENGTH), generator=torch.Generator().manual_seed(1))
    documents = torch.ones_like(drawn)
    documents[0, LENGTH // 2 :] = 0
    return Batch(ids_bt=drawn, documents_bt=documents)


def test_similarities_are_the_cosines_of_what_layers_take_and_give() -> None:
    model, batch = build(KINDS[0], WORDS, LENGTH, seed=0), rows_of()
    with torch.no_grad():
        for name in ("self_attn.o_proj", "mlp.down_proj"):
            model.layers[2].get_submodule(name).weight.zero_()  # gives what it takes
            model.layers[1].get_submodule(name).weight.mul_(1e4)  # gives something else
    found = similarities(model, batch)
    assert found[2] == 1.0
    assert found[1] < 0.5
    assert found != similarities(model, replace(batch, documents_bt=torch.ones_like(batch.ids_bt))), "filling counts"
    assert not any(block._forward_hooks for block in model.layers)
    deep = Depth(similar=2)
    assert deep.order((0.5, 0.9, 0.7, 0.9)) == [0, 1, 1, 2, 3, 3]
    assert deep.order((0.9, 0.9, 0.9, 0.1)) == [0, 0, 1, 1, 2, 3], "of equals the first"
    assert Depth(similar=4).order((0.1, 0.2, 0.3, 0.4)) == [0, 0, 1, 1, 2, 2, 3, 3]
    same = Depth(similar=2, init="identity").apply(model, found)
    assert torch.equal(logits(same, ids()), logits(model, ids()))


@pytest.mark.long
def test_layers_chosen_by_the_rows_are_the_same_after_a_kill_and_for_two_processes(job, tmp_path) -> None:
    files.save(tmp_path / "base", build(Llama("1m", **TINY), job.vocab_size - 1, job.length, seed=9))
    parts = (AddTokens(tokens=("<a>",)), Depth(similar=1))
    wanted = Llama("1m", **TINY | {"layers": 3})
    run = changed(job, start=file_on_disk(tmp_path / "base"), transform=parts, model=wanted, reweight=None)
    whole = at(run, tmp_path / "whole")
    train(whole, Saver(whole.scratch), 0, 1)
    kill_after_first_checkpoint(run, tmp_path / "killed", 2)
    finish(start(run, tmp_path / "killed", 2))
    assert_same_bits(result(tmp_path / "whole"), result(tmp_path / "killed"))
    told = [json.loads((tmp_path / name / RESULT).read_text())["similarities"] for name in ("whole", "killed")]
    assert told[0] == told[1]
    assert [len(one) for one in told[0]] == [0, TINY["layers"]]


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
    for wrong in ({}, {"layers": RUNS, "similar": 1}):
        with pytest.raises(ValueError, match=r"layers, similar: found .*, expected one of the two"):
            Depth(**wrong)
    with pytest.raises(ValueError, match="similar: found -1"):
        Depth(similar=-1)
    for tokens in ((), ("<a>", "<a>")):
        with pytest.raises(ValueError, match="tokens: found"):
            AddTokens(tokens=tokens)
    for runs in (((3, 3),), ((-1, 2),)):
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
        ({"transform": (Depth(similar=5),)}, r"transform\[0\]: similar: found 5, expected 1 to 4"),
    ]:
        with pytest.raises(RecipeError, match=said):
            Pretrain(**fields | wrong).check()
    files.save(tmp_path / "m", build(KINDS[0], WORDS, LENGTH, seed=0))
    with pytest.raises(NoWay, match=r"Depth\.layers: found layer 4"):
        start_from(tmp_path / "m", KINDS[0], WORDS, LENGTH, 0, transforms=(Depth(layers=((0, 5),)),))


CHAT = ("<|im_start|>", "<|im_end|>")


@pytest.mark.long
def test_tokens_are_added_behind_those_of_the_start_and_a_figure_shows_the_layers(tmp_path) -> None:
    lines = [{"id": f"{n}", "text": f"the tide {n} turns and the boats of {n} come home"} for n in range(40)]
    turns = [[("user", f"tide {n}?"), ("assistant", "turns")] for n in range(20)]
    said = [json.dumps([{"role": role, "content": text} for role, text in talk]) for talk in turns]
    talks = [{"id": f"t{n}", "text": text} for n, text in enumerate(said)]
    for name, rows in (("a", lines), ("t", talks)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    docs, chats = (Read(paths=(f"{tmp_path}/{name}.jsonl",)) for name in "at")
    words = Tokenizer(docs=docs, vocab_size=300)
    more = Tokenizer(extends=words, specials=CHAT)
    model = replace(KINDS[1], layers=2)
    settings = {"steps": 2, "batch_rows": 4, "device": "cpu", "precision": "fp32"}
    base = Pretrain(rows=Pack(docs=docs, tokenizer=words, length=LENGTH), model=model, **settings)
    rows = PackSamples(docs=chats, tokenizer=more, length=LENGTH, sample=Chat(messages="text"))
    fields = {"rows": rows, "start": base, "model": replace(model, layers=3), **settings}
    tuned = Pretrain(transform=(AddTokens(tokens=CHAT), Depth(similar=1)), **fields)
    done = Here(tuned, tmp_path / "store")
    data = tmp_path / "store" / done.state.folder(tuned) / "data/train/all"
    told, tokenizer = (json.loads((data / name).read_text()) for name in ("config.json", "tokenizer.json"))
    old = told["vocab_size"] - 2
    assert [(one["content"], one["id"]) for one in tokenizer["added_tokens"][-2:]] == [
        (CHAT[0], old),
        (CHAT[1], old + 1),
    ]
    before = files.load(tmp_path / "store" / done.state.folder(base) / "data/train/all/model.safetensors")
    assert (before.vocab_size, files.load(data / "model.safetensors").vocab_size) == (old, old + 2)
    figures = json.loads((data.parents[2] / "figures.json").read_text())
    [figure] = [one for one in figures if "cosine" in one["title"]]
    assert figure["values"] == [round(one, 4) for one in told["similarities"][1]]
    for wrong, why in [
        ({"transform": (Depth(similar=1),)}, "the ids of a tokenizer of 300 entries"),
        ({"transform": (AddTokens(tokens=CHAT[:1]), Depth(similar=1))}, "which extends the ids of a tokenizer of 300"),
        ({"transform": (AddTokens(tokens=("<x>",)), Depth(similar=1))}, "no <x> in the tokenizer of the rows"),
        ({"adapter": Norms()}, "beside Norms, which trains no row of a token"),
    ]:
        with pytest.raises(RecipeError, match=why):
            replace(tuned, **wrong).check()
    for fields, why in [
        ({}, "tokenizer.specials: none"), ({"specials": CHAT, "docs": docs}, "docs.*given beside extends"),
        ({"specials": ("<|endoftext|>",)}, "names that differ"),
    ]:  # fmt: skip
        with pytest.raises(RecipeError, match=why):
            Tokenizer(extends=words, **fields).check()
    with pytest.raises(RecipeError, match="names that differ"):
        Tokenizer(extends=more, specials=CHAT[:1]).check()
