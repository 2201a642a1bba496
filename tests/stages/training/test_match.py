"""Models that are matched to another run: the rank, the identity, and what cannot be matched."""

from pathlib import Path

import pytest

from models.accounting import count_flops, count_parameters
from models.presets import Llama, Lost, LowRank
from models.sltrain_config import SLTrain
from pipeline.errors import RecipeError
from pipeline.inputs import nodes_in
from pipeline.recipe import load, parse
from siftloom.vocabulary import vocabulary
from stages.read.read import Read
from stages.tokens.pack import Pack
from stages.tokens.tokenizer import Tokenizer
from stages.training.match import FlopsOf, ParametersOf
from stages.training.pretrain import Pretrain

DOCS = Read(paths=("docs.jsonl",))
ROWS = Pack(docs=DOCS, tokenizer=Tokenizer(docs=DOCS, vocab_size=320), length=32)
LOST = Pretrain(rows=ROWS, model=Lost("1m", rank=16, density=0.05))


@pytest.mark.parametrize("model", [LowRank("1m", rank=1, activation="silu"), SLTrain("1m", rank=1, density=0.01)])
def test_a_matched_model_has_the_parameters_of_the_other_from_below(model):
    goal = count_parameters(LOST.model, 1).projections
    found = Pretrain(rows=ROWS, model=model, match=ParametersOf(LOST))
    assert found.match is None
    assert 0.94 * goal < count_parameters(found.model, 1).projections <= goal
    assert (type(found.model), found.model.size) == (type(model), "1m")


def test_a_matched_model_has_the_operations_of_the_other_from_below():
    goal = count_flops(LOST.model, 1, 1).projections
    found = Pretrain(rows=ROWS, model=LowRank("1m", rank=1), match=FlopsOf(LOST))
    assert 0.94 * goal < count_flops(found.model, 1, 1).projections <= goal


def test_a_match_is_its_rank_and_no_input():
    matched = Pretrain(rows=ROWS, model=LowRank("1m", rank=1), match=ParametersOf(LOST))
    by_hand = Pretrain(rows=ROWS, model=LowRank("1m", rank=matched.model.rank))
    assert matched.model == by_hand.model
    assert [node for name in ("rows", "start", "match") for node in nodes_in(getattr(matched, name))] == [ROWS]


@pytest.mark.parametrize(
    ("model", "match", "said"),
    [
        (Llama("1m"), ParametersOf(LOST), "a Llama, which has no rank"),
        (SLTrain("1m", rank=1, density=0.5), ParametersOf(LOST), "rank 1 above"),
        (SLTrain("1m", rank=1, density=0.01), FlopsOf(LOST), "rank 1 above .* operations per token"),
    ],
)
def test_what_cannot_be_matched_is_named(model, match, said):
    with pytest.raises(RecipeError, match=rf"pretrain\.match: .*{said}"):
        Pretrain(rows=ROWS, model=model, match=match)
    with pytest.raises(RecipeError, match=r"Pretrain\.match\.run: a pack node; expected a node that gives a model"):
        Pretrain(rows=ROWS, model=LowRank("1m", rank=1), match=ParametersOf(ROWS))


def test_the_controls_of_the_shipped_recipe_hold_as_much_as_lost():
    recipe = load(str(Path(__file__).parents[3] / "recipes/lost_controls.yaml"), vocabulary())
    sizes = {
        name: count_parameters(node.model, 1).projections
        for name, node in recipe.nodes.items()
        if isinstance(node, Pretrain)
    }
    dense = sizes.pop("dense")
    assert len(sizes) == 7
    assert all(0.95 * sizes["lost"] < size <= sizes["lost"] for size in sizes.values())
    assert dense > 3 * sizes["lost"]
    assert len(recipe.graph(()).nodes) > len(sizes)


def test_a_recipe_names_the_run_to_match():
    text = """
nodes:
  docs: {use: read, paths: [docs.jsonl]}
  rows: {use: pack, docs: docs, tokenizer: {use: tokenizer, docs: docs, vocab_size: 320}, length: 32}
  low: {use: pretrain, rows: rows, model: {low_rank: 1m, rank: 1}, match: {parameters_of: lost}}
  work: {use: pretrain, rows: rows, model: {low_rank: 1m, rank: 1}, match: {flops_of: lost}}
  lost: {use: pretrain, rows: rows, model: {lost: 1m, rank: 16, density: 0.05}}
"""
    nodes = parse(text, vocabulary()).nodes
    assert nodes["low"].model == Pretrain(rows=ROWS, model=LowRank("1m", rank=1), match=ParametersOf(LOST)).model
    assert nodes["work"].model.rank > 1


def test_the_papers_comparison_is_of_equal_models_and_as_many_tokens():
    recipe = load(str(Path(__file__).parents[3] / "recipes/lost-c4.yaml"), vocabulary())
    runs = {name: node for name, node in recipe.nodes.items() if isinstance(node, Pretrain)}
    assert {node.steps * node.batch_rows * 256 for node in runs.values()} == {1_310_720_000}
    sizes = {name: count_parameters(node.model, 32_000).total for name, node in runs.items()}
    assert sizes["dense"] == 58_073_600  # as printed by the methods' code
    assert all(43_000_000 < size < 45_000_000 for name, size in sizes.items() if name != "dense"), sizes
