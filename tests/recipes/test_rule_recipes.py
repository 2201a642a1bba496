"""The recipes of published rule sets run on the embedded corpus as they stand, and say of every document why it went."""

from pathlib import Path

import pytest

from pipeline.recipe import parse
from siftloom import Pipeline
from siftloom.vocabulary import vocabulary

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.mark.parametrize(
    ("name", "ends", "went"),
    [
        ("gopher", "unique", {"language", "gopher_quality", "gopher_repetition", "minhash_dedup"}),
        ("fineweb", "masked", {"language", "gopher_repetition", "gopher_quality", "c4", "minhash_dedup"}),
    ],
)
def test_a_recipe_runs_and_accounts_for_every_document(local_ray, tmp_path, name, ends, went):
    text = (RECIPES / f"{name}.yaml").read_text()
    nodes = parse(text, vocabulary()).nodes
    run = Pipeline([nodes["texts"]], name=name, store=str(tmp_path), names=nodes).run(progress=False)
    removed = run[ends].removed()
    kept = run[ends].rows(["id", "text"])
    assert kept.num_rows > 500
    assert kept.num_rows + removed.num_rows == 3103
    assert went <= {reason.partition(".")[0] for reason in removed["reason"].to_pylist()}
    assert run["texts"].counts["files"]["written"] == kept.num_rows
