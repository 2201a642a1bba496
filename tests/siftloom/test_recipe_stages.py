"""Stages of a training in a recipe: a list of values, written and read back."""

from models.objective import CrossEntropy
from pipeline.recipe import dump, load
from siftloom.vocabulary import vocabulary
from stages.training.stage import Stage

RECIPE = """
name: staged
store: runs/
nodes:
  docs: {use: read, paths: [a.jsonl]}
  words: {use: tokenizer, docs: docs, vocab_size: 512}
  rows: {use: pack, docs: docs, tokenizer: words}
  model: {use: pretrain, rows: rows, model: {llama: 1m}, schedule: [%s]}
"""
LAST = "{stage: {until: 1.0, objective: {cross_entropy: {z_loss: 0.5}}, attend: document}}"


def test_a_list_of_stages_comes_back_as_it_was_written(tmp_path):
    (tmp_path / "r.yaml").write_text(RECIPE % ("{stage: {until: 0.5}}, " + LAST))
    recipe = load(tmp_path / "r.yaml", vocabulary())
    wanted = (Stage(until=0.5), Stage(until=1.0, objective=CrossEntropy(z_loss=0.5), attend="document"))
    assert recipe.nodes["model"].schedule == wanted
    names = {node: name for name, node in recipe.nodes.items()}
    text = dump(list(recipe.nodes.values()), names, vocabulary(), name="staged", store="runs/")
    (tmp_path / "again.yaml").write_text(text)
    assert load(tmp_path / "again.yaml", vocabulary()).nodes["model"].schedule == wanted
