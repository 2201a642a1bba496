"""The recipes of published objectives: each can be planned and runs, shorter; the encoder of one is looked at."""

import json
import re
from pathlib import Path

import pytest
import torch

from pipeline.errors import RecipeError
from pipeline.graph import build
from pipeline.recipe import parse
from siftloom import Pipeline
from siftloom import stages as s
from siftloom.vocabulary import vocabulary

RECIPES = Path(__file__).parents[2] / "recipes"


def nodes_of(name, **changes):
    text = (RECIPES / f"{name}.yaml").read_text()
    for old, new in changes.values():
        assert old in text
        text = text.replace(old, new)
    return parse(text, vocabulary()).nodes


@pytest.mark.parametrize(
    "name",
    [
        "emo",
        "hft",
        "codegen2",
        "clm-mlm",
        "climb",
        "loss-priors",
        "sft",
        "adapters",
        "gedi",
        "llm2vec",
        "deeper",
        "longer",
    ],
)
def test_a_recipe_has_a_control_and_every_part_of_it_holds(name):
    nodes = nodes_of(name)
    graph = build(list(nodes.values()), nodes)
    trained = [node for node in graph.nodes if node.kind() == "pretrain"]
    assert len(trained) >= 2
    assert {"control", "masks_only", "random"} & set(nodes)


def smaller(name):
    """The nodes of a recipe over fewer documents, with models and trainings as small as there are."""
    text = (RECIPES / f"{name}.yaml").read_text()
    text, models = re.subn(r"\{llama: 1m[^}]*\}", "{llama: 1m, hidden: 32, inter: 48, layers: 1, heads: 2}", text)
    text, steps = re.subn(r"steps: \d+", "steps: 2", text)
    text, reads = re.subn(r'paths: \["demo://corpus"\]', r"\g<0>, limit: 300", text)
    assert min(models, steps, reads) >= 1
    return {f"{name.replace('-', '_')}_{label}": node for label, node in parse(text, vocabulary()).nodes.items()}


ONE_ARM = {
    "emo": "adaptive", "hft": "round_2", "codegen2": "mixed", "climb": "data", "loss-priors": "in_loss", "sft": "tuned",
    "adapters": "adalora",
}  # fmt: skip
OTHER_ARMS = {
    "emo": "fixed", "codegen2": "prefix", "climb": "vocabulary", "loss-priors": "in_sampler", "sft": "control",
    "adapters": "bottleneck", "gedi": "judge",
}  # fmt: skip


@pytest.mark.timeout(900)  # short trainings, each of some seconds, and more on a busy machine
@pytest.mark.parametrize(
    "arms",
    [pytest.param(ONE_ARM, marks=pytest.mark.long), pytest.param(OTHER_ARMS, marks=pytest.mark.faults)],
    ids=["one arm", "the other arms"],
)  # the others differ in a field of the same classes: five trainings more
def test_every_recipe_runs_with_its_method(tmp_path, arms):
    nodes = {label: node for name in arms for label, node in smaller(name).items()}
    wanted = [f"{name.replace('-', '_')}_{label}" for name, label in arms.items()]
    run = Pipeline([nodes[label] for label in wanted], name="objectives", store=str(tmp_path), names=nodes)
    found = run.run(here=True, progress=False)
    assert [found[label].counts["train"]["trained"] for label in wanted] == [2] * len(wanted)
    if "hft" in arms:  # a round counts what the rounds and the base before it have seen
        seen = [found[f"hft_{label}"].counts["train"]["tokens"] for label in ("base", "round_1")]
        config = json.loads(Path(found["hft_round_2"].path("train", "all", "/config.json")).read_text())
        assert config["tokens_before"] == sum(seen)


@pytest.mark.faults  # three trainings, and texts written token by token
def test_a_guide_and_a_filter_ask_the_model_that_tells_classes_apart(tmp_path):
    nodes = smaller("gedi")
    wanted = [nodes["gedi_guided"], nodes["gedi_unguided"], nodes["gedi_told_apart"]]
    found = Pipeline(wanted, name="gedi", store=str(tmp_path), names=nodes).run(here=True, progress=False)
    written = {label: found[f"gedi_{label}"].rows(["text"])["text"].to_pylist() for label in ("guided", "unguided")}
    assert written["guided"]
    assert written["guided"] != written["unguided"]
    sure = found["gedi_judged"].rows(["posterior", "posterior_code"])
    assert all(0.0 < one < 1.0 for one in sure["posterior"].to_pylist())
    assert set(sure["posterior_code"].to_pylist()) <= {"<novel>", "<manual>"}


@pytest.mark.long
def test_an_adapter_leaves_as_a_folder_of_peft_and_merged(tmp_path, monkeypatch):
    nodes = smaller("adapters")
    tuned, base = nodes["adapters_lora_all"], nodes["adapters_base"]
    folders = {"merged": s.Export(model=tuned, form="merged"), "adapter": s.Export(model=tuned, form="adapter"),
               "base": s.Export(model=base)}  # fmt: skip
    scored = s.Evaluate(model=tuned, docs=nodes["adapters_second"], samples=0)
    compared = s.Compare(runs=(scored, s.Evaluate(model=base, docs=nodes["adapters_second"], samples=0)))
    names = nodes | folders | {"costs": compared}
    run = Pipeline([*folders.values(), compared], name="adapted", store=str(tmp_path), names=names)
    found = run.run(here=True, progress=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    at = {name: Path(found[name].path("folder", "all", "/README.md")).parent for name in folders}
    assert {found[name].receipt("folder", "all").facts["form"] for name in folders} == {"merged", "adapter", "dense"}
    merged = AutoModelForCausalLM.from_pretrained(at["merged"])
    theirs = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(at["base"]), at["adapter"])
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        assert (merged(ids).logits - theirs(ids).logits).abs().max() <= 1e-5
        assert (merged(ids).logits - AutoModelForCausalLM.from_pretrained(at["base"])(ids).logits).abs().max() > 0
    assert "PeftModel.from_pretrained" in (at["adapter"] / "README.md").read_text()
    assert "peft" not in (at["merged"] / "README.md").read_text()
    trained = found[tuned].receipt("train", "all").facts["trained"]
    assert trained == tuned.adapter.count(tuned.model)
    [costs] = [one for one in found["costs"].figures if one["title"] == "What is trained, and what that takes"]
    [adapter, whole] = [row[1:] for row in costs["rows"]]
    assert adapter == [trained, 4 * trained, 8 * trained, 12 * trained]
    assert whole[3] == 12 * found[base].receipt("train", "all").facts["parameters"]


@pytest.mark.long
def test_an_encoder_is_trained_in_two_phases_and_fills_masks_in_transformers(tmp_path, monkeypatch):
    nodes = nodes_of(
        "clm-mlm", steps=("steps: 80", "steps: 4"), size=("{llama: 1m,", "{llama: 1m, layers: 2, hidden: 64,")
    )
    folder = nodes["encoder_folder"]
    run = Pipeline([folder], name="encoder", store=str(tmp_path), names=nodes).run(here=True, progress=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    [place] = tmp_path.glob("nodes/export-*/data/folder/all")
    tokenizer, model = AutoTokenizer.from_pretrained(place), AutoModelForMaskedLM.from_pretrained(place).eval()
    assert tokenizer.mask_token == "<mask>"
    batch = tokenizer(["a <mask> of the sea", "<mask>"], return_tensors="pt", padding=True)
    assert (batch["input_ids"] == model.config.mask_token_id).sum() == 2
    with torch.no_grad():
        together = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        alone = model(input_ids=batch["input_ids"][1:, :1]).logits
    assert (together[1, :1] - alone[0]).abs().max() <= 1e-5
    assert run[nodes["encoder"]].counts["train"]["trained"] == 4
    card = (place / "README.md").read_text()
    assert "AutoModelForMaskedLM" in card
    assert "fill-mask" in card
    # of such a model there is no causal form, and no causal loss
    for wrong in (
        s.Export(model=nodes["encoder"], form="dense"),
        s.Evaluate(model=nodes["encoder"], docs=nodes["docs"]),
        s.ScoreLoss(docs=nodes["docs"], proxies=nodes["encoder"]),
    ):
        with pytest.raises(RecipeError, match="trained last to see both sides"):
            wrong.check()
    plain = s.Pretrain(rows=nodes["rows"], model=nodes["encoder"].model)
    with pytest.raises(RecipeError, match="see what stands before"):
        s.Export(model=plain, form="bidirectional").check()
