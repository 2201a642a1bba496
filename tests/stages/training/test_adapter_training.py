"""Trainings with an adapter: what moves, what a checkpoint holds, equal bits after a kill and in shards, errors."""

import hashlib
import json

import pytest
import torch
from safetensors.torch import load_file

from models import files
from models.adapters.adalora import AdaLora
from models.adapters.bottleneck import Bottleneck
from models.adapters.ia3 import Ia3
from models.adapters.lora import Lora
from models.adapters.norms import Norms
from models.freeze import ByName
from models.memory import checkpoint_bytes, state_bytes
from models.optim_config import AdamW
from models.presets import Llama, Lost
from models.transfer import merge
from pipeline.errors import RecipeError
from pipeline.files.open_store import file_on_disk
from stages.training import planned_model
from stages.training.checkpoint import MODEL, Saver
from stages.training.export import Export
from stages.training.hf_model import HfModel
from stages.training.worker import Trainer, train
from tests.stages.training.rows import changed, declared
from tests.stages.training.test_worker import (
    TINY,
    assert_same_bits,
    at,
    job,
    kill_after_first_checkpoint,
    result,
    start,
)

__all__ = ["job"]  # the fixture
CPU = torch.device("cpu")
KINDS = [Lora(targets="all"), Lora(dora=True), AdaLora(first_rank=6, rank=3), Ia3(), Norms(), Bottleneck(width=8)]


@pytest.fixture
def based(job, tmp_path):
    """The job, from a trained Llama of its rows."""
    first = at(job, tmp_path / "first", model=Llama("1m", **TINY), reweight=None, steps=4)
    train(first, Saver(first.scratch), 0, 1)
    return changed(job, model=Llama("1m", **TINY), reweight=None, start=file_on_disk(tmp_path / "first" / MODEL))


def held_names(folder):
    """Names of the tensors of the last checkpoint, and the bytes of its parts."""
    parts = [path.read_bytes() for path in (folder / Saver(str(folder)).whole()[-1]).glob("part-*")]
    names = {name for part in parts for name in json.loads(part[8 : 8 + int.from_bytes(part[:8], "little")])}
    return names - {"__metadata__"}, sum(map(len, parts))


@pytest.mark.parametrize("adapter", KINDS, ids=lambda one: type(one).__name__ + "dora" * getattr(one, "dora", False))
def test_the_base_stands_still_and_a_checkpoint_holds_what_is_trained(based, tmp_path, adapter):
    run = at(based, tmp_path / "run", adapter=adapter)
    train(run, Saver(run.scratch), 0, 1)
    model, base = files.load(tmp_path / "run" / MODEL), load_file(based.start.local())
    assert (model.adapter, model.base) == (adapter, hashlib.sha256(based.start.local().read_bytes()).hexdigest())
    parameters = dict(model.named_parameters())
    trained = {name for name, one in parameters.items() if one.requires_grad}
    stood = {name.replace(".base_layer", ""): name for name in parameters.keys() - trained if "ranknum" not in name}
    assert stood.keys() == base.keys()
    assert all(torch.equal(parameters[name], base[short]) for short, name in stood.items())
    record = result(tmp_path / "run")["record"]
    assert record["loss"][-1] < record["loss"][0]
    names, size = held_names(tmp_path / "run")
    assert {name.split("/")[-1] for name in names if name.startswith("optimizer/")} == trained
    assert {name.removeprefix("model/") for name in names if name in {f"model/{one}" for one in parameters}} == trained
    budgets = names - {f"model/{name}" for name in trained} - {name for name in names if name.startswith("optimizer/")}
    assert all("lora_" in name or name.endswith(".kept") for name in budgets)
    assert bool(budgets) == isinstance(adapter, AdaLora)
    told = checkpoint_bytes(state_bytes(run.node.model, run.vocab_size, adapter=adapter), adapted=True)
    if not budgets:  # the header, and the count of steps of each tensor, are not counted
        assert told < size < told + 400 * len(names) + 20_000


def ended(started):
    # each process imports peft and transformers: 9 seconds of a CPU, minutes on a busy machine
    assert [process.wait(400) for process in started] == [0] * len(started)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_killed_with_two_processes_and_resumed_with_one_it_has_the_same_bits(based, tmp_path):
    """AdaLoRA has all that others have, and means and marks of its own."""
    run = changed(based, adapter=AdaLora(first_rank=6, rank=3))
    train(at(run, tmp_path / "whole"), Saver(str(tmp_path / "whole")), 0, 1)
    kill_after_first_checkpoint(run, tmp_path / "broken", processes=2, seconds=400)
    ended(start(run, tmp_path / "broken"))
    assert_same_bits(result(tmp_path / "whole"), result(tmp_path / "broken"))
    assert (tmp_path / "whole" / MODEL).read_bytes() == (tmp_path / "broken" / MODEL).read_bytes()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_in_shards_it_moves_as_whole(based, tmp_path):
    run = changed(based, adapter=Lora(targets="all", dora=True))
    train(at(run, tmp_path / "whole"), Saver(str(tmp_path / "whole")), 0, 1)
    ended(start(changed(run, shard=2), tmp_path / "shards", 2))
    whole, shards = result(tmp_path / "whole"), result(tmp_path / "shards")
    assert shards["record"]["loss"] == pytest.approx(whole["record"]["loss"], rel=1e-5)
    for name, tensor in whole["model"].items():
        torch.testing.assert_close(shards["model"][name], tensor, rtol=1e-3, atol=1e-5)


def test_with_a_scale_of_nothing_the_model_stays_its_base_to_the_bit(based, tmp_path):
    run = at(based, tmp_path / "run", adapter=Lora(alpha=0), steps=4)
    train(run, Saver(run.scratch), 0, 1)
    plain, base = merge(files.load(tmp_path / "run" / MODEL)), load_file(based.start.local())
    assert all(torch.equal(tensor, base[name]) for name, tensor in plain.state_dict().items())
    control = Trainer(at(based, tmp_path / "control"), 0, 1, CPU)
    control.train_step()
    assert result(tmp_path / "run")["record"]["loss"][0] == control.record["loss"][0]
    assert set(result(tmp_path / "run")["record"]["gradient_norm"]) == {0.0}


def test_a_training_with_an_adapter_starts_the_next(based, tmp_path):
    first = at(based, tmp_path / "run", adapter=Lora(), steps=4)
    train(first, Saver(first.scratch), 0, 1)
    given = tmp_path / "run" / MODEL
    second = Trainer(changed(based, start=file_on_disk(given), adapter=Norms(), scratch=str(tmp_path)), 0, 1, CPU)
    plain = merge(files.load(given))
    weights = {name.replace(".base_layer", ""): one for name, one in second.model.state_dict().items()}
    assert all(torch.equal(weights[name], one) for name, one in plain.state_dict().items())


def run_with(adapter=None, model=None, **fields):
    """A node that starts from another."""
    fields = {"start": declared(model=Llama("1m")), "compile": "off"} | fields
    return declared(model=model or Llama("1m"), adapter=adapter, device="cpu", **fields)


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (run_with(Lora(), start=None), "adapter: Lora without a start"),
        (run_with(Lora(), freeze=ByName(train=("norm",))), "freeze: a policy beside Lora"),
        (run_with(Lora(dora=True), compile="on"), "compile: off"),
        (run_with(AdaLora(), shard=2, workers=2), "AdaLora with shard 2"),
        (run_with(Ia3(), Lost("1m", rank=8, density=0.05)), r"ia3 in a Lost.*model: \{llama: ...\}"),
        (run_with(start=run_with(Bottleneck())), "Bottleneck, whose output no plain model gives"),
        (run_with(Norms(), start=run_with(Lora(), Lost("1m", rank=8, density=0.05))), "Lost with Lora, whose output"),
    ],
)
def test_a_plan_names_what_cannot_be(node, said):
    with pytest.raises(RecipeError, match=said):
        node.check()


def test_a_plan_names_the_library_that_is_not_there(monkeypatch):
    monkeypatch.setattr(planned_model, "find_spec", lambda name: None)
    with pytest.raises(RecipeError, match=r"peft is not installed.*pip install siftloom\[peft\]"):
        run_with(Lora()).check()
    run_with(Bottleneck()).check()


@pytest.mark.parametrize(
    ("node", "form", "said"),
    [
        (run_with(), "merged", "merged, for a model that was trained itself"),
        (run_with(), "adapter", "adapter, for a model that was trained itself"),
        (run_with(Bottleneck()), "auto", "Bottleneck, which no plain model equals"),
        (run_with(Bottleneck()), "adapter", "a Bottleneck, which no library loads"),
        (run_with(Lora(), Lost("1m", rank=8, density=0.05)), "merged", "a Lost with Lora"),
        (run_with(Lora(), Lost("1m", rank=8, density=0.05, activation="none")), "adapter", "one beside a Lost"),
        (run_with(Lora(), Lost("1m", rank=8, density=0.05, activation="none")), "factors", "factors, for a Llama"),
    ],
)
def test_a_form_that_an_adapter_has_not_is_named_before_the_run(node, form, said):
    with pytest.raises(RecipeError, match=said):
        Export(model=node, form=form).check()


def test_forms_that_it_has_pass():
    for form in ("auto", "merged", "dense", "adapter"):
        Export(model=run_with(Lora()), form=form).check()
    Export(model=run_with(Lora(), Lost("1m", rank=8, density=0.05, activation="none")), form="merged").check()
    assert run_with(Lora(), start=HfModel(paths=("unread",))).label == "Llama 1m, Lora"
    assert run_with(optimizer=AdamW()).label == "Llama 1m"
