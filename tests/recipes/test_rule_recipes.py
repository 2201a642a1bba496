"""The recipes of published rule sets run on the embedded corpus, and give the reason of every removed document."""

from pathlib import Path

import pytest

from siftloom import Pipeline
from siftloom.recipe import open_recipe

RECIPES = Path(__file__).parents[2] / "recipes"
pytestmark = pytest.mark.timeout(900)  # whole recipes: a minute each, and more on a busy machine


def run(name, tmp_path, outputs, changes=()):
    nodes = open_recipe(str(RECIPES / f"{name}.yaml"), changes=changes)[0].nodes
    store = str(tmp_path)
    return Pipeline([nodes[out] for out in outputs], name=name, store=store, names=nodes).run(here=True, progress=False)


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "ends", "went"),
    [
        ("gopher", "unique", {"language", "gopher_quality", "gopher_repetition", "minhash_dedup"}),
        ("fineweb", "masked", {"language", "gopher_repetition", "gopher_quality", "c4", "minhash_dedup"}),
        ("dclm-baseline", "best", {"language", "gopher_quality", "gopher_repetition", "minhash_dedup", "select"}),
        (
            "yi-cascade",
            "fewer",
            {"language", "gopher_quality", "outliers", "minhash_dedup", "select"},
        ),
        ("tele-data", "unique", {"language", "exact_dedup", "select"}),
    ],
)
def test_a_recipe_runs_and_accounts_for_every_document(tmp_path, name, ends, went):
    found = run(name, tmp_path, ["texts"])
    removed = found[ends].removed()
    kept = found[ends].rows(["id", "text"])
    assert kept.num_rows > 30
    assert kept.num_rows + removed.num_rows == 3103
    assert went <= {reason.partition(".")[0] for reason in removed["reason"].to_pylist()}
    counts = found["texts"].counts["files"]
    assert counts["written"] + counts["held_out"] == counts["rows"] == kept.num_rows
    if name == "tele-data":
        assert set(kept["id"].to_pylist()) <= set(found["candidates"].rows(["id"])["id"].to_pylist())


@pytest.mark.long
def test_the_levels_are_five_and_the_best_one_is_free_of_rules(tmp_path):
    found = run("nemotron-levels", tmp_path, ["high_texts", "other_texts"])
    levels = found["levels"].rows(["quality_level", "quality_bucket"]).to_pylist()
    assert {row["quality_level"] for row in levels} == {0, 1, 2, 3, 4}
    assert {row["quality_bucket"] for row in levels if row["quality_level"] == 4} == {19}
    high, others = (found[name].rows(["id", "quality_level"]) for name in ("high", "varied"))
    assert set(high["quality_level"].to_pylist()) == {4}
    assert not set(high["id"].to_pylist()) & set(others["id"].to_pylist())
    gone = {row["node"] for row in found["varied"].removed().to_pylist()}
    assert {"plain", "varied"} <= gone
