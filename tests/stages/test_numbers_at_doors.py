"""What is no number is refused where a node takes numbers in, by document and value; or it is counted as no score."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from local_context import LocalContext

from pipeline.contract import RowPhase, TaskPhase
from pipeline.errors import DataError, RecipeError
from pipeline.worker.arrays import one_a_row
from siftloom import stages as s

ROWS, BAD = 40, 23
WHO = f"document 'd:{BAD}'"
COLUMNS = {"x": "float64", "y": "float64", "size": "float64", "v": "float32[2]", "w": "float32[2]"}
VALUES = {"NaN": math.nan, "inf": math.inf, "-inf": -math.inf, "1e+308": 1e308, "-1": -1.0, "null": None}


def documents(kinds: dict[str, str] | None = None) -> Any:
    read = s.Read(paths=("docs.jsonl",), keep=("prompt", "label"))
    return s.Map(docs=read, fn="a:b", writes=COLUMNS | (kinds or {}))


def vectors(rows: np.ndarray) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.astype(np.float32).ravel()), 2)


def table(column: str, value: Any) -> pa.Table:
    draw = np.random.default_rng(0)
    columns: dict[str, Any] = {
        "id": [f"d:{row}" for row in range(ROWS)],
        "_row": range(ROWS),
        "text": [f"text {row}" for row in range(ROWS)],
        "prompt": [f"p{row // 4}" for row in range(ROWS)],
        "source": ["a"] * ROWS,
    }
    for name in ("x", "y", "size"):
        found = draw.uniform(0.1, 0.9, ROWS).tolist()
        if name == column:
            found[BAD] = value
        columns[name] = pa.array(found, pa.float64())
    for name in ("v", "w"):
        found = draw.standard_normal((ROWS, 2))
        if name == column:
            found[BAD, 1] = 3e38 if value == 1e308 else value
        columns[name] = vectors(found)
    return pa.table(columns)


@dataclass(frozen=True)
class Door:
    """A node and the column of it that is wrong. `taken`: values that it takes, or counts as no score."""

    node: Callable[[Any], Any]
    column: str
    taken: tuple[str, ...] = ("-1", "null")
    at: str = "docs"


def clusters(docs):
    return s.TrainClusters(docs=docs, k=3, by="v", scores=("x",), rounds=2)


NOT_FINITE = ("NaN", "-1", "null")
DOORS = {
    "measure.value": Door(lambda docs: s.Measure(docs=docs, value="x"), "x"),
    "measure.over": Door(lambda docs: s.Measure(docs=docs, value="x", over="size"), "size", ()),
    "outliers": Door(lambda docs: s.Outliers(docs=docs, max={"x": 0.9}), "x", NOT_FINITE),
    "ensemble": Door(lambda docs: s.Ensemble(docs=docs, columns=("x", "-y")), "y", NOT_FINITE),
    "select.by": Door(lambda docs: s.Select(docs=docs, by="x", keep_fraction=0.5), "x", (*NOT_FINITE, "inf", "-inf")),
    "select, pareto": Door(
        lambda docs: s.Select(docs=docs, by="x", sampling="pareto"), "x", (*NOT_FINITE, "inf", "-inf")
    ),
    "calibrate.reward": Door(lambda docs: s.Calibrate(docs=docs, reward="x"), "x"),
    "transform_reward.u": Door(lambda docs: s.TransformReward(docs=docs, u="x", kl=0.5), "x"),  # raw rewards, too
    "win_rate.policy": Door(lambda docs: s.WinRate(policy=docs, reference=docs, reward="x"), "x", at="policy"),
    "win_rate.nats": Door(
        lambda docs: s.WinRate(policy=docs, reference=docs, reward="x", nats=("y", "size")), "size", at="policy"
    ),
    "loss_weights.by": Door(lambda docs: s.LossWeights(docs=docs, by="x", tokens="size"), "x"),
    "loss_weights.minus": Door(lambda docs: s.LossWeights(docs=docs, by="x", minus="y", tokens="size"), "y"),
    "loss_weights.tokens": Door(lambda docs: s.LossWeights(docs=docs, by="x", tokens="size"), "size", ("null",)),
    "train_head.label": Door(lambda docs: s.TrainHead(docs=docs, label="x", by="v"), "x"),
    "train_head.by": Door(lambda docs: s.TrainHead(docs=docs, label="x", by="v"), "v", ("-1",)),
    "train_clusters.by": Door(clusters, "v", ("-1",)),
    "train_clusters.scores": Door(clusters, "x"),
    "similarity.gold": Door(lambda docs: s.Similarity(docs=docs, left="v", right="w", gold="x"), "x"),
    "similarity.right": Door(lambda docs: s.Similarity(docs=docs, left="v", right="w", gold="x"), "w", ("-1",)),
    "cosine_similarity": Door(lambda docs: s.CosineSimilarity(docs=docs, left="v", right="w"), "w", ("-1",)),
    "retrieval.docs": Door(lambda docs: s.Retrieval(queries=docs, docs=docs, by="v"), "v", ("-1",), at="queries"),
}


def run(door: Door, value: Any, folder) -> tuple[LocalContext, list[Any]]:
    """All task phases, then the row functions."""
    node = door.node(documents())
    node.check()
    rows = table(door.column, value)
    ctx = LocalContext(node, folder, dict.fromkeys(("docs", "policy", "reference", "queries"), rows))
    found = []
    for phase in node.phases():
        if isinstance(phase, TaskPhase):
            ctx.run(phase)
        elif isinstance(phase, RowPhase):
            found.append(phase.open(ctx)(rows.select(list(dict.fromkeys(phase.needs)))))
    return ctx, found


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("door", DOORS)
def test_a_value_that_is_no_number_is_named_with_its_document(door, value, tmp_path):
    if value == "null" and DOORS[door].column in "vw":
        return  # a null inside of a vector passes no side-car
    if value in DOORS[door].taken:
        run(DOORS[door], VALUES[value], tmp_path)
        return
    shown = "3e+38" if value == "1e+308" and DOORS[door].column in "vw" else value
    with pytest.raises(DataError) as caught:
        run(DOORS[door], VALUES[value], tmp_path)
    words = str(caught.value)
    assert f"{DOORS[door].column} of {WHO} is {shown}" in words or f"score of {WHO} is {shown}" in words
    assert words.startswith(door.partition(".")[0].partition(",")[0])


@pytest.mark.parametrize("door", sorted(set(DOORS) - {"loss_weights.by", "loss_weights.minus", "loss_weights.tokens"}))
def test_a_column_of_texts_is_refused_before_anything_runs(door):
    column = DOORS[door].column
    with pytest.raises(RecipeError, match=r"of type string|the text 'x'|of one width"):
        DOORS[door].node(documents({column: "string"})).check()


@pytest.mark.parametrize("value", ["NaN", "inf", "-inf", "null"])
def test_what_is_no_score_is_counted(value, tmp_path):
    ctx, (found,) = run(DOORS["select.by"], VALUES[value], tmp_path / "select")
    assert ctx.result("cut", "all").counts["scored"] == ROWS - 1
    assert found.removed.reason[BAD].as_py() == "select.no_score"
    if value in ("NaN", "null"):
        ctx, _ = run(DOORS["outliers"], VALUES[value], tmp_path / "outliers")
        assert ctx.result("limits", "all").facts["limits"][""]["x"]["scored"] == ROWS - 1
        ctx, _ = run(DOORS["ensemble"], VALUES[value], tmp_path / "ensemble")
        assert ctx.result("ranks", "all").counts["scores.-y"] == ROWS - 1


def test_what_the_bounds_leave_is_summed_without_an_overflow(tmp_path):
    ctx, _ = run(DOORS["measure.value"], 1e30, tmp_path)
    assert math.isfinite(ctx.result("score", "all").facts["mean"])


def test_a_vector_with_a_nan_passes_no_side_car_and_its_row_is_named():
    kind = pa.list_(pa.float32(), 2)
    rows = vectors(np.array([[0.0, 1.0], [2.0, math.nan]]))
    for given in (rows, pa.array([None, [2.0, math.nan]], kind), pa.array([[1.0], [math.nan]], pa.list_(pa.float32()))):
        with pytest.raises(DataError, match="here: value 1 is NaN"):
            one_a_row(given, given.type, 2, "here")
