"""Numbers that make no sense are named errors: in a recipe with line and column, in Python with node and field."""

from __future__ import annotations

import json
import typing

import pytest
from annotated_types import Ge, Gt, Le

from pipeline import bounds
from pipeline.errors import RecipeError
from pipeline.recipe import parse
from pipeline.recipe.schema import schema
from pipeline.recipe.vocabulary import fields_of
from siftloom.vocabulary import vocabulary
from stages.catalog import NODES, load
from stages.read.read import Read
from tests.stages.samples import sample

# Any number will do, or `check` of the node says which.
FREE = {
    "seed", "map.version_", "select.min", "select.max", "judge.low", "judge.high", "tokenizer.vocab_size",
    "train_ngram.order", "pack.length", "pack_samples.length", "train_clusters.k", "line_dedup.min_copies",
    "substring_dedup.length",
    "pretrain.workers", "pretrain.rows", "cluster.weights", "write.shard_bytes",
}  # fmt: skip


def numbers(hint: object) -> bool:
    return hint in (int, float) or any(numbers(argument) for argument in typing.get_args(hint))


def outside(test: bounds.Test) -> float:
    """The whole number nearest to a bound that it forbids."""
    match test:
        case Ge():
            return test.ge - 1
        case Gt():
            return test.gt
        case Le():
            return test.le + 1
    return test.lt


@pytest.mark.parametrize("kind", sorted(NODES))
def test_every_number_of_a_node_has_bounds(kind: str) -> None:
    for field in fields_of(load(kind)).values():
        if field.takes_node or not numbers(field.hint) or {field.key, f"{kind}.{field.name}"} & FREE:
            continue
        tests = bounds.bounds_of(field.hint)
        assert tests, f"{kind}.{field.key} has no bounds: {field.hint}"
        for test in tests:
            beyond = outside(test)
            value = {"en": beyond} if field.key == "keep" else (beyond, beyond) if field.takes_list else beyond
            with pytest.raises(RecipeError, match=rf"^{load(kind).__name__}\.{field.name}\S*: {beyond}"):
                sample(kind, **{field.name: value})
        sample(kind)


def test_python_and_a_recipe_name_the_number() -> None:
    docs = Read(paths=["a.jsonl"])
    with pytest.raises(RecipeError, match=r"^GopherQuality.min_words: -3; expected at least 0"):
        load("gopher_quality")(docs=docs, min_words=-3)
    with pytest.raises(RecipeError, match=r"^GopherQuality.min_words: 30, above max_words, 10"):
        load("gopher_quality")(docs=docs, min_words=30, max_words=10)
    with pytest.raises(RecipeError, match=r"^Language.keep.en: 3.0; expected at least 0 and at most 1"):
        load("language")(docs=docs, keep={"en": 3.0})
    recipe = "nodes:\n  docs: {use: read, paths: [a.jsonl]}\n"
    for text, words in (
        ("{use: gopher_quality, docs: docs, min_words: -3}", "min_words is -3; expected at least 0"),
        ("{use: split, docs: docs, held_out: 1.0}", "held_out is 1.0; expected at least 0 and below 1"),
        ("{use: code, docs: docs, min_lines: 9, max_lines: 8}", "Code.min_lines: 9, above max_lines, 8"),
    ):
        with pytest.raises(RecipeError) as caught:
            parse(f"{recipe}  next: {text}\n", vocabulary())
        assert str(caught.value).startswith("recipe:3:")
        assert words in str(caught.value)


def test_the_schema_says_the_bounds() -> None:
    properties = schema(vocabulary())["$defs"]["node.split"]["properties"]
    assert (properties["held_out"]["minimum"], properties["held_out"]["exclusiveMaximum"]) == (0, 1)
    assert json.dumps(properties)
