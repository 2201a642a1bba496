"""A mean and its interval: of numbers and of bools, by group, and as what an ablation compares."""

from __future__ import annotations

import json
import math
import random
import re
from typing import Literal

import numpy as np
import pyarrow.parquet as pq
import pytest
from run_here import Here

from pipeline.errors import DataError, RecipeError
from stages.measure import Measure
from stages.read.read import Read
from stages.training.ablation import Ablation

ROWS = [
    {"id": f"d{n}", "text": f"text {n}", "kind": ("a", "b", None)[n % 3], "right": n % 4 == 0,
     "reward": None if n % 10 == 9 else n / 7}
    for n in range(60)
]  # fmt: skip
KEEP = ("kind", "right:bool", "reward:float64")


def read(folder, rows, keep=KEEP) -> Read:
    folder.mkdir(exist_ok=True)
    for half in range(2):  # two files, so that a task takes several shards
        lines = "".join(json.dumps(row) + "\n" for row in rows[half::2])
        (folder / f"docs-{half}.jsonl").write_text(lines)
    return Read(paths=(f"{folder}/docs-*.jsonl",), keep=keep)


def written(node, root) -> dict:
    here = Here(node, root)
    (path,) = root.glob(f"{here.state.folder(node)}/data/*/all.json")
    return json.loads(path.read_text())


def test_the_mean_of_each_group_and_of_all(tmp_path):
    found = written(Measure(docs=read(tmp_path / "in", ROWS), value="reward", by="kind"), tmp_path / "store")
    for name, of in found["groups"].items():
        values = [row["reward"] for row in ROWS if row["reward"] is not None and name in ("all", row["kind"])]
        assert of["documents"] == len(values)
        assert of["mean"] == pytest.approx(np.mean(values), abs=1e-12)
        half = 1.96 * np.std(values) / math.sqrt(len(values))
        assert (of["from"], of["to"]) == pytest.approx((of["mean"] - half, of["mean"] + half), abs=0.35 * half)
    assert list(found["groups"]) == ["a", "all", "b"]


def test_bools_are_shares_and_nulls_are_counted_apart(tmp_path):
    docs = read(tmp_path / "in", ROWS)
    assert written(Measure(docs=docs, value="right"), tmp_path / "store")["groups"]["all"]["mean"] == 0.25
    here = Here(Measure(docs=docs, value="reward"), tmp_path / "store")
    (path,) = here.root.glob(f"{here.state.folder(here.target)}/data/*/all.parquet")
    assert pq.read_table(path).num_rows == 54


def test_a_ratio_of_sums_is_the_perplexity_of_answers_by_hand(tmp_path):
    draw = random.Random(5)
    rows = [
        {
            "id": f"d{n}",
            "text": f"text {n}",
            "kind": "ab"[n % 2],
            "nats": draw.uniform(0, 30),
            "tokens": draw.randint(1, 9),
        }
        for n in range(40)
    ]
    docs = read(tmp_path / "in", rows, ("kind", "nats:float64", "tokens:int64"))
    node = Measure(docs=docs, value="nats", over="tokens", perplexity=True, by="kind", better="lower")
    found = written(node, tmp_path / "store")["groups"]
    for name in ("all", "a", "b"):
        of = [row for row in rows if name in ("all", row["kind"])]
        by_hand = math.exp(sum(row["nats"] for row in of) / sum(row["tokens"] for row in of))
        assert found[name]["perplexity"] == pytest.approx(by_hand, rel=1e-12)
        assert math.exp(found[name]["from"]) < by_hand < math.exp(found[name]["to"])
    by_text = Measure(docs=docs, value="nats", over="tokens", per="kind", perplexity=True)
    assert written(by_text, tmp_path / "store")["groups"]["all"]["perplexity"] == pytest.approx(
        found["all"]["perplexity"], rel=1e-12
    )
    table = written(Ablation(runs=(node, node), labels=("one", "other")), tmp_path / "store")
    assert table["arms"][0]["groups"]["all"]["mean"] == pytest.approx(found["all"]["mean"], abs=1e-12)
    rows[3]["tokens"] = -1
    with pytest.raises(DataError, match=r"tokens of document '.*:1' is -1"):
        Here(Measure(docs=read(tmp_path / "bad", rows, ("nats:float64", "tokens:int64")), value="nats", over="tokens"),
             tmp_path / "store")  # fmt: skip
    with pytest.raises(RecipeError, match=r"measure\.over: 'kind' of type string"):
        Measure(docs=docs, value="nats", over="kind").check()


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_an_ablation_compares_measures_in_pairs(tmp_path, better: Literal["higher", "lower"]):
    draw = random.Random(1)
    rows = []
    for row in ROWS:
        hard = draw.gauss(0, 5)  # of the document, the same for both arms
        rows.append(row | {f"reward_{arm}": hard + 0.5 * arm + draw.gauss(0, 0.1) for arm in range(2)})
    docs = read(tmp_path / "in", rows, keep=("reward_0:float64", "reward_1:float64"))
    arms = tuple(Measure(docs=docs, value=f"reward_{arm}", better=better) for arm in range(2))
    found = written(Ablation(runs=arms, labels=("plain", "calibrated")), tmp_path / "store")
    arm = found["arms"][1]["groups"]["all"]
    assert arm["real"]
    assert arm["gain"] == pytest.approx(0.5 if better == "higher" else -0.5, abs=0.05)
    assert arm["from"] < arm["gain"] < arm["to"]
    word = "better" if better == "higher" else "worse"
    assert re.match(rf"calibrated is {word} than plain by 0\.[45]\d\d value ", found["words"][0]), found["words"]


def test_answers_to_one_prompt_count_as_one(tmp_path):
    rows = [row | {"kind": f"prompt {n % 6}", "reward": n % 6 + 0.1 * (-1) ** (n // 6)} for n, row in enumerate(ROWS)]
    docs = read(tmp_path / "in", rows)
    each, of_prompts = (
        written(Measure(docs=docs, value="reward", per=per), tmp_path / f"store-{per}")["groups"]["all"]
        for per in (None, "kind")
    )
    assert (each["documents"], of_prompts["documents"]) == (60, 6)
    assert each["mean"] == pytest.approx(of_prompts["mean"], abs=1e-12) == 2.5
    assert of_prompts["to"] - of_prompts["from"] > 2.5 * (each["to"] - each["from"])  # sqrt(10) as wide


def test_what_cannot_be_measured_is_named(tmp_path):
    docs = read(tmp_path / "in", ROWS)
    for node, words in (
        (Measure(docs=docs, value="rewards"), "no column 'rewards'"),
        (Measure(docs=docs, value="kind"), "'kind' of type string"),
        (Measure(docs=docs, value="right", by="sort"), "no column 'sort'"),
    ):
        with pytest.raises(RecipeError, match=words):
            node.check()
    two = (Measure(docs=docs, value="reward"), Measure(docs=docs, value="reward", better="lower"))
    with pytest.raises(RecipeError, match="one better side"):
        Ablation(runs=two, labels=("a", "b")).check()
    empty = read(tmp_path / "empty", [row | {"reward": None} for row in ROWS])
    with pytest.raises(DataError, match="no document with a reward"):
        Here(Measure(docs=empty, value="reward"), tmp_path / "store")
