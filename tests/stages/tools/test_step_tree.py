"""Trees over a real model in a folder, and what is learned of their pairs: tokens as they were drawn."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.errors import DataError, RecipeError
from stages.generate.folder import FolderLM
from stages.generate.model_folder import ModelFolder
from stages.read.read import Read
from stages.tokens.encoder import Encoder
from stages.tokens.preference import Preference
from stages.tokens.sample_ids import SampleEncoder
from stages.tools.call_match import CallMatch
from stages.tools.reward import Reward, ToolCall
from stages.tools.step_tree import StepTree
from tests.stages.generate.small_models import folder_of
from tests.stages.run_here import Here

FIELDS = {"prompt": "{asked}", "boundaries": ("t", " "), "branch": 5, "depth": 3, "max_tokens": 8, "batch_rows": 4}


@dataclass(frozen=True, kw_only=True)
class ShareOfVowels(Reward):
    """`least` and more; of 1 it is constant, and above it no number."""

    least: float = 0.0

    def score(self, answer, row):
        return (
            math.inf
            if self.least > 1
            else max(self.least, sum(letter in "aeiou" for letter in answer) / max(1, len(answer)))
        )


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return folder_of(tmp_path_factory.mktemp("model") / "folder")


@pytest.fixture(scope="module")
def docs(tmp_path_factory):
    path = tmp_path_factory.mktemp("docs") / "a.jsonl"
    words = "cat dog log mat".split()
    rows = [
        {"id": f"{n}", "text": f"text {n}", "asked": f"the {words[n % 4]} and {n}", "gold": "none"} for n in range(9)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Read(paths=(str(path),), keep=("asked", "gold"))


def tree(docs, model, **fields) -> StepTree:
    folder = ModelFolder(paths=(f"{model}/*",))
    return StepTree(**{"docs": docs, "model": folder, "reward": ShareOfVowels(), "carry": ("gold",)} | FIELDS | fields)


def pairs_in(done: Here) -> list[dict]:
    folder = done.root / done.state.folder(done.target) / "data" / "shards"
    return [row for path in sorted(folder.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def test_a_pair_is_two_steps_from_one_beginning_in_the_tokens_that_were_drawn(docs, model, tmp_path):
    done = Here(tree(docs, model, depth=2), tmp_path / "store")
    found, lm = pairs_in(done), FolderLM(model, batch_rows=4)
    assert len({row["parents"][0] for row in found}) > 4
    assert {row["depth"] for row in found} > {1}
    for row in found:
        asked = f"the {row['prompt'].split()[1]}"
        assert row["prompt"].startswith(asked)
        ids = lm.prompt_ids(row["prompt"].partition(" and ")[0], None)[1:]
        assert row["prompt_ids"][: len(ids)] == ids
        decode = lambda name, row=row: lm.tokenizer.decode(row[name], skip_special_tokens=True)  # noqa: E731
        assert decode("prompt_ids") == row["prompt"]
        assert decode("chosen_ids") == row["chosen"]
        assert decode("rejected_ids") == row["rejected"]
        assert row["chosen_ids"] != row["rejected_ids"]
        assert row["margin"] >= 0.1
        assert row["text"].startswith(row["prompt"] + row["chosen"])
        assert row["gold"] == "none"
    manifest = done.state.manifest(done.target)
    assert manifest["counts"]["rewards"]["pairs"] == len(found)
    again = Here(tree(docs, model, depth=2), tmp_path / "again")
    assert again.files("shards") == done.files("shards")
    assert pairs_in(Here(tree(docs, model, seed=1), tmp_path / "other")) != found


def test_best_of_n_is_a_tree_of_one_level_without_boundaries(docs, model, tmp_path):
    found = pairs_in(Here(tree(docs, model, depth=1, boundaries=(), expansions=1), tmp_path / "store"))
    assert {row["depth"] for row in found} == {1}
    assert all(row["text"] == row["prompt"] + row["chosen"] for row in found)


def test_a_reward_that_is_the_same_everywhere_or_no_number_is_named(docs, model, tmp_path):
    with pytest.raises(
        DataError, match="ShareOfVowels is 1 for every answer of every tree; expected a reward that tells"
    ):
        Here(tree(docs, model, depth=2, reward=ShareOfVowels(least=1.0)), tmp_path / "same")
    with pytest.raises(DataError, match=r"inf for an answer to .*; expected a number"):
        Here(tree(docs, model, depth=2, reward=ShareOfVowels(least=2.0)), tmp_path / "inf")


@pytest.mark.parametrize(("fields", "said"), [
    ({"reward": ToolCall(expected="missing")}, "step_tree.reward: no string column 'missing'; expected one of .*gold"),
    ({"boundaries": ()}, r"step_tree.boundaries: \[\] and depth 3.*depth: 1 compares whole answers"),
    ({"boundaries": ("",)}, "step_tree.boundaries"),
    ({"carry": ("margin",)}, "step_tree.carry: 'margin'"),
    ({"prompt": "no column"}, "step_tree.prompt"),
])  # fmt: skip
def test_what_cannot_grow_is_named_before_anything_runs(docs, model, fields, said):
    tree(docs, model).check()
    with pytest.raises(RecipeError, match=said):
        tree(docs, model, **fields).check()


def test_a_call_is_held_against_a_column_that_there_is(docs):
    CallMatch(docs=docs, expected="gold").check()
    with pytest.raises(RecipeError, match=r"call_match\.expected: no string column 'missing'"):
        CallMatch(docs=docs, expected="missing").check()


def test_of_a_step_its_own_tokens_are_learned_and_the_end_only_where_it_ended(model):
    encoder = Encoder.load(model / "tokenizer.json")
    end, cat, dog = 0, *(ids.tolist() for ids in encoder.encode([" cat", " dog log"]))
    samples = SampleEncoder(encoder, Preference(prompt="p", chosen="c", rejected="r"), end, end)
    row = {"p": [7, 8, 9], "c": [*cat, end], "r": dog}
    [pieces] = samples.encode([row])
    chosen, rejected = pieces
    assert chosen.ids.tolist() == [end, 7, 8, 9, *cat, end]
    assert rejected.ids.tolist() == [end, 7, 8, 9, *dog, end]
    assert np.flatnonzero(~chosen.learned).tolist() == [0, 1, 2, 3]
    assert np.flatnonzero(~rejected.learned).tolist() == [0, 1, 2, 3, len(rejected.ids) - 1]
    [ended] = samples.encode([{"p": [], "c": [end], "r": dog}])
    assert ended[0].ids.tolist() == [end, end]
    assert ended[0].learned.tolist() == [False, True]
    assert samples.encode([row | {"r": row["c"]}]) == ["equal_sides"]
    assert samples.encode([row | {"r": []}]) == ["no_answer"]
    with pytest.raises(DataError, match="the token 70000, of a tokenizer of 3"):
        samples.encode([row | {"r": [70000]}])
