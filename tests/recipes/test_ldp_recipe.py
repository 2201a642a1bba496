"""The recipe `ldp`, whole: both directions, what passes, what is learned of it, and every arm measured."""

import json
from pathlib import Path

import pytest

from pipeline.recipe import parse
from recipes.worlds import ciphers
from siftloom import Pipeline
from siftloom.vocabulary import vocabulary

RECIPE = Path(__file__).parents[2] / "recipes" / "ldp.yaml"
ARMS = ("of_ldp", "of_zero", "of_one", "of_true", "into_before", "into_after", "of_through")


@pytest.mark.faults
@pytest.mark.timeout(2400)  # two trainings and eight hundred answers
def test_the_recipe_runs_whole_and_learns_to_write_text_that_was_there(tmp_path):
    nodes = parse(RECIPE.read_text(encoding="utf-8"), vocabulary()).nodes
    run = Pipeline(list(nodes.values()), name="ldp", store=str(tmp_path), names=nodes).run(here=True, progress=False)
    originals = {row["text"] for row in ciphers.rows() if row["part"] == "texts"}
    passed = run["passed"].rows(["foreign", "translation", "english"]).to_pylist()
    assert passed
    assert {row["foreign"] for row in passed} <= originals
    right = sum(row["translation"] == row["english"] for row in passed)
    print(f"passed {len(passed)}, exactly right {right}")
    for arm in ARMS:
        found = json.loads(Path(run[arm].path("score", "all", ".json")).read_text())["groups"]["all"]
        assert found["documents"] > 20
        print(arm, *(round(found[key], 1) for key in ("mean", "from", "to")))
