"""Ranked lists by hand, and against pytrec_eval and scipy where they are installed; the nodes over a small base."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from local_context import LocalContext

from pipeline.errors import DataError, RecipeError
from stages.generate.ranking import ranks, spearman
from stages.generate.retrieval import Retrieval
from stages.generate.similarity import Similarity
from stages.map import Map
from stages.read.read import Read


def test_a_ranked_list_by_hand():
    scores, relevant = np.array([0.1, 0.9, 0.5, 0.7, 0.5]), np.array([0, 0, 1, 0, 1]).astype(bool)
    found = ranks(scores, relevant, 4)
    # the order is 1, 3, 2, 4: hits at the third and fourth place
    best = 1 + 1 / math.log2(3)
    assert found == pytest.approx(((1 / math.log2(4) + 1 / math.log2(5)) / best, 1 / 3, 0.0, 1.0))
    assert ranks(scores, relevant, 1) == (0.0, 0.0, 0.0, 0.0)
    assert ranks(scores, scores > 0.8, 3) == (1.0, 1.0, 1.0, 1.0)


def test_pytrec_eval_gives_the_same():
    library = pytest.importorskip("pytrec_eval", reason="the library of this check alone")
    draw = np.random.default_rng(0)
    scores, relevant = draw.random((20, 40)), draw.random((20, 40)) < 0.1
    relevant[:, 0] |= ~relevant.any(1)
    truth = {f"q{q}": {f"d{n}": int(relevant[q, n]) for n in range(40)} for q in range(20)}
    run = {f"q{q}": {f"d{n}": float(scores[q, n]) for n in range(40)} for q in range(20)}
    asked = {"ndcg_cut.10", "recall.10", "recall.1", "recip_rank"}
    theirs = library.RelevanceEvaluator(truth, asked).evaluate(run)
    for q in range(20):
        found, other = ranks(scores[q], relevant[q], 10), theirs[f"q{q}"]
        assert found.ndcg == pytest.approx(other["ndcg_cut_10"], abs=1e-12)
        assert (found.recall, found.recall_1) == pytest.approx((other["recall_10"], other["recall_1"]))
        assert found.reciprocal in (0.0, pytest.approx(other["recip_rank"]))


def test_spearman_by_hand_and_as_scipy_has_it():
    assert spearman(np.array([1.0, 2, 3, 4]), np.array([1.0, 4, 9, 16])) == pytest.approx(1.0)
    assert spearman(np.array([1.0, 2, 2, 3]), np.array([1.0, 2, 3, 4])) == pytest.approx(4.5 / math.sqrt(4.5 * 5))
    assert math.isnan(spearman(np.ones(3), np.arange(3.0)))
    stats = pytest.importorskip("scipy.stats", reason="the library of this check alone")
    draw = np.random.default_rng(1)
    one, other = draw.integers(0, 9, 50).astype(float), draw.random(50)
    assert spearman(one, other) == pytest.approx(float(stats.spearmanr(one, other).statistic), abs=1e-12)


def table(*rows):
    """Documents that lie on a circle: id, angle (null = no vector) and topic of each."""
    names, turns, topics = zip(*rows, strict=True)
    vectors = [None if turn is None else [math.cos(turn), math.sin(turn)] for turn in turns]
    kind, east = pa.list_(pa.float32(), 2), [[1.0, 0.0]] * len(rows)
    gold = [turn if turn is not None and turn < 2.0 else None for turn in turns]
    columns = {"vector": pa.array(vectors, kind), "east": pa.array(east, kind), "gold": pa.array(gold, pa.float64())}
    return pa.table({"id": list(names), "topic": list(topics), **columns})


DOCS = Map(
    docs=Read(paths=("x",), keep=("topic",)), fn="a:b",
    writes={"vector": "float32[2]", "east": "float32[2]", "gold": "float64"},
)  # fmt: skip


def test_what_belongs_to_a_query_is_looked_for_among_all(tmp_path):
    docs = table(("a", 0.0, "x"), ("b", 1.0, "y"), ("c", 2.0, "x"))
    queries = table(("q", 0.1, "x"), ("r", 0.9, "x"), ("s", 0.5, "none"), ("t", None, "x"))
    node = Retrieval(queries=DOCS, docs=DOCS, match="topic", depth=2)
    node.check()
    ctx = LocalContext(node, tmp_path, {"queries": queries, "docs": docs})
    found = ctx.run_all()["all"]
    assert found.counts == {"queries": 4, "measured": 2, "without": 2}
    best = 1 + 1 / math.log2(3)
    # q: a and then b; r: b and then a
    assert found.facts["ndcg"] == pytest.approx((1 / best + 1 / math.log2(3) / best) / 2)
    assert (found.facts["mrr"], found.facts["recall_1"], found.facts["recall"]) == pytest.approx((0.75, 0.25, 0.5))
    assert pq.read_table(ctx.path("score", "all", ".parquet"))["id"].to_pylist() == ["q", "r"]
    assert len(next(iter(node.figures(ctx)))["rows"]) == 4
    alone = LocalContext(Retrieval(queries=DOCS, docs=DOCS), tmp_path / "b", {"queries": queries, "docs": docs})
    with pytest.raises(DataError, match="no query whose id"):
        alone.run_all()


def test_vectors_that_share_a_direction_are_told_apart_when_it_is_taken_from_all(tmp_path):
    docs = table(("a", 0.1, "x"), ("b", 0.2, "y"), ("c", 0.3, "z"))
    node = Retrieval(queries=DOCS, docs=DOCS, match="topic", centre=True, depth=1)
    ctx = LocalContext(node, tmp_path, {"queries": table(("q", 0.12, "x"), ("r", 0.29, "z")), "docs": docs})
    assert ctx.run_all()["all"].facts["ndcg"] == 1.0


def test_cosines_that_fall_with_the_angle_are_the_other_way_round(tmp_path):
    node = Similarity(docs=DOCS, left="vector", right="east", gold="gold")
    node.check()
    docs = table(("a", 0.0, "x"), ("b", 1.0, "y"), ("c", 1.5, "x"), ("d", 3.0, "x"))
    ctx = LocalContext(node, tmp_path, {"docs": docs})
    found = ctx.run_all()["all"]
    assert found.counts == {"documents": 4, "measured": 3, "null": 1}
    assert found.facts["spearman"] == pytest.approx(-1.0)
    with pytest.raises(DataError, match="does not vary"):
        LocalContext(node, tmp_path / "b", {"docs": docs.slice(0, 1)}).run_all()


def test_what_is_no_vector_is_named_before_a_run():
    docs = Read(paths=("unread",))
    with pytest.raises(RecipeError, match=r"retrieval\.queries.*vector"):
        Retrieval(queries=docs, docs=docs).check()
    with pytest.raises(RecipeError, match=r"similarity\.left"):
        Similarity(docs=docs, left="vector", right="east", gold="a").check()
