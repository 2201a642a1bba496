"""Ranked lists by hand, and against pytrec_eval and scipy where they are installed; the nodes over a small base."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from pipeline.errors import DataError, RecipeError
from stages.generate.ranking import ranks, spearman
from stages.generate.retrieval import Retrieval
from stages.generate.similarity import Similarity
from stages.map import Map
from stages.read.read import Read
from tests.stages.run_here import Here

RULES = """
import numpy as np
import pyarrow as pa

def vectors(table):
    turn = [float(text.split()[1]) for text in table["text"].to_pylist()]
    flat = np.array([[np.cos(one), np.sin(one)] for one in turn], np.float32).ravel()
    gold = [one if one < 2.0 else None for one in turn]
    made = pa.FixedSizeListArray.from_arrays(pa.array(flat), 2)
    east = pa.FixedSizeListArray.from_arrays(pa.array(np.tile(np.array([1, 0], np.float32), len(turn))), 2)
    return {"vector": made, "east": east, "gold": gold}
"""


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


@pytest.fixture
def placed(tmp_path, monkeypatch):
    """Documents that lie on a circle, at the angle that stands in their text."""
    (tmp_path / "circle_rules.py").write_text(RULES)
    monkeypatch.syspath_prepend(str(tmp_path))

    def of(name, *rows):
        file = tmp_path / f"{name}.jsonl"
        file.write_text("".join(json.dumps({"id": i, "text": f"at {turn}", "topic": t}) + "\n" for i, turn, t in rows))
        writes = {"vector": "float32[2]", "east": "float32[2]", "gold": "float64"}
        return Map(docs=Read(paths=(str(file),), keep=("topic",)), fn="circle_rules:vectors", writes=writes)

    return of


def test_what_belongs_to_a_query_is_looked_for_among_all(placed, tmp_path):
    docs = placed("docs", ("a", 0.0, "x"), ("b", 1.0, "y"), ("c", 2.0, "x"))
    queries = placed("queries", ("q", 0.1, "x"), ("r", 0.9, "x"), ("s", 0.5, "none"))
    made = Here(Retrieval(queries=queries, docs=docs, match="topic", depth=2), tmp_path / "store")
    [folder] = (tmp_path / "store" / made.state.folder(made.target) / "data" / "score").glob("*.json")
    found = json.loads(folder.read_text())
    best = 1 + 1 / math.log2(3)
    # q: a then b; r: b then a
    assert found["ndcg"]["mean"] == pytest.approx((1 / best + 1 / math.log2(3) / best) / 2)
    assert found["mrr"]["mean"] == pytest.approx(0.75)
    assert (found["recall_1"]["mean"], found["recall"]["mean"]) == pytest.approx((0.25, 0.5))
    with pytest.raises(DataError, match="no query whose id"):
        Here(Retrieval(queries=queries, docs=docs), tmp_path / "other")


def test_cosines_that_fall_with_the_angle_are_the_other_way_round(placed, tmp_path):
    docs = placed("docs", ("a", 0.0, "x"), ("b", 1.0, "y"), ("c", 1.5, "x"), ("d", 3.0, "x"))
    made = Here(Similarity(docs=docs, left="vector", right="east", gold="gold"), tmp_path / "store")
    receipts = (tmp_path / "store").rglob("*.json")
    assert any('"spearman":-1.0' in path.read_text().replace(" ", "") for path in receipts)
    assert made.target.gives == "correlation"


def test_what_is_no_vector_is_named_before_a_run():
    docs = Read(paths=("unread",))
    with pytest.raises(RecipeError, match=r"retrieval\.queries.*vector"):
        Retrieval(queries=docs, docs=docs).check()
    with pytest.raises(RecipeError, match=r"similarity\.left"):
        Similarity(docs=docs, left="vector", right="east", gold="a").check()
