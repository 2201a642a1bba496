"""`siftloom ablate` on a recipe: real models on two sets of documents, one of which is plainly the worse."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from command_line import siftloom

from pipeline.errors import RecipeError
from pipeline.recipe import load
from siftloom.ablate import Budget, arms_of
from siftloom.vocabulary import vocabulary

WORDS = "the river ran past an old house and its garden where a carrier had left letters for no one".split()
RECIPE = """\
name: two
store: kept/
nodes:
  docs: {use: read, paths: [docs.jsonl]}
  once: {use: split, docs: docs, held_out: 0.2}
  prose: {use: select, docs: once, where: source == 'prose'}
  noise: {use: select, docs: once, where: source == 'noise'}
  flat: {use: select, docs: docs, where: source == 'noise'}
  model: {use: train_ngram, docs: prose}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    draw = random.Random(0)
    lines = []
    for number in range(400):
        noise = number % 20 == 0
        words = [f"{draw.randrange(10**6):x}" if noise else draw.choice(WORDS) for _ in range(80)]
        lines.append(json.dumps({"text": " ".join(words), "source": "noise" if noise else "prose"}) + "\n")
    (tmp_path / "docs.jsonl").write_text("".join(lines))
    (tmp_path / "two.yaml").write_text(RECIPE)
    return tmp_path


def test_the_arms_differ_in_their_documents_alone(folder: Path) -> None:
    nodes = load(folder / "two.yaml", vocabulary()).nodes
    made = arms_of(nodes, ["prose", "flat"], Budget(tokens=40_960, seeds=2))
    one, other = made["prose_model_1"], made["flat_model_1"]
    assert one.steps == other.steps == 10
    assert (one.model, one.seed, one.rows.tokenizer) == (other.model, other.seed, other.rows.tokenizer)
    assert made["prose_model_0"].seed != one.seed
    assert other.rows.holdout is nodes["once"]
    assert len(made["ablation"].runs) == 4
    assert {run.docs for run in made["ablation"].runs} == {nodes["once"]}
    judged = arms_of(nodes, ["prose", "flat"], Budget(), judge="prose")
    assert {run.docs for run in judged["ablation"].runs} == {nodes["prose"]}
    for arms, what in (
        (["prose"], "two or more"),
        (["prose", "model"], "no node of documents"),
        (["docs", "flat"], "split"),
    ):
        with pytest.raises(RecipeError, match=what):
            arms_of(nodes, arms, Budget())


@pytest.mark.long
def test_a_real_difference_is_said_to_be_real(folder: Path) -> None:
    words = ["ablate", "two.yaml", "prose", "noise", "--tokens", "16384", "--seeds", "1", "--here"]
    said = siftloom(*words, cwd=folder).stdout
    assert "noise is worse than prose by" in said
    assert "the difference is real, as far as one seed says" in said
    assert "better" not in said.split("noise is worse")[0]
    result = json.loads(siftloom(*words, "--json", cwd=folder).stdout.splitlines()[-1])
    groups = result["arms"][1]["groups"]
    assert groups["prose"]["to"] < 0 < groups["noise"]["from"]  # each is the better one on its own kind
    assert "the other way round on noise" in said
