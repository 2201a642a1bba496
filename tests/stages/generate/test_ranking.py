"""Ranked lists by hand, and against pytrec_eval and scipy where they are installed; the nodes over a small base."""

from __future__ import annotations

import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from local_context import LocalContext
from run_here import Here
from small_models import folder_of

from pipeline.errors import DataError, RecipeError
from stages.generate.cosine_similarity import CosineSimilarity
from stages.generate.embed import Embed
from stages.generate.model_folder import ModelFolder
from stages.generate.ranking import ranks, spearman
from stages.generate.retrieval import Retrieval
from stages.generate.similarity import Similarity
from stages.generate.vectors import cosines
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


def test_shards_without_a_vector_are_passed_over_and_sides_without_one_named(tmp_path):
    none = [(f"n{number}", None, "x") for number in range(100)]  # a table of its own: one of the context has 100 rows
    docs, queries = table(*none, ("a", 0.0, "x"), ("b", 1.0, "y")), table(("q", 0.1, "x"))
    node = Retrieval(queries=DOCS, docs=DOCS, match="topic", depth=1)
    found = LocalContext(node, tmp_path, {"queries": queries, "docs": docs}).run_all()["all"]
    assert found.facts["recall_1"] == 1.0
    with pytest.raises(DataError, match="no vectors on one side"):
        LocalContext(node, tmp_path / "b", {"queries": queries, "docs": table(*none)}).run_all()


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


def test_a_cosine_asks_nothing_of_the_lengths_of_its_vectors():
    left, right = ([[3.0, 4.0], [0.0, 0.0], [2.0, 0.0]], [[6.0, 8.0], [1.0, 0.0], [0.0, 5.0]])
    columns = {"left": pa.array(left, pa.list_(pa.float32(), 2)), "right": pa.array(right, pa.list_(pa.float32(), 2))}
    assert cosines(pa.table(columns), "left", "right", "here").tolist() == pytest.approx([1.0, 0.0, 0.0])


def test_the_cosine_of_each_row_is_that_of_its_two_vectors(tmp_path):
    node = CosineSimilarity(docs=DOCS, left="vector", right="east", as_="semscore")
    node.check()
    docs = table(("a", 0.0, "x"), ("b", 1.0, "y"), ("c", None, "x"), ("d", 3.0, "x"))
    found = node.open(LocalContext(node, tmp_path, {"docs": docs}))(docs).added["semscore"].to_pylist()
    assert found[2] is None
    assert [found[n] for n in (0, 1, 3)] == pytest.approx([math.cos(turn) for turn in (0.0, 1.0, 3.0)], abs=1e-6)
    wide = Map(docs=DOCS, fn="a:b", reads=("id",), writes={"wide": "float32[3]"})
    for left, right, words in (
        ("gold", "east", r"cosine_similarity\.left.*float64"),
        ("east", "wide", "vectors of one width"),
    ):
        with pytest.raises(RecipeError, match=words):
            CosineSimilarity(docs=wide, left=left, right=right).check()


def test_an_answer_and_the_expected_one_are_as_near_as_a_folders_model_says(tmp_path):
    """SemScore, by the folder's own library."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    pairs = [("the cat", "the dog sat"), ("a small text", "common words"), ("the log", "the log")]
    rows = [{"id": f"{n}", "text": said, "gold": meant} for n, (said, meant) in enumerate(pairs)]
    (tmp_path / "said.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    folder = folder_of(tmp_path / "model")
    model = ModelFolder(paths=(f"{folder}/*",))
    docs = Read(paths=(f"{tmp_path}/said.jsonl",), keep=("gold",))
    meant = Embed(docs=docs, model=model, width=32, template="{gold}", as_="meant")
    node = CosineSimilarity(
        docs=Embed(docs=meant, model=model, width=32, as_="said"), left="said", right="meant", as_="semscore"
    )
    found = Here(node, tmp_path / "store").columns()["semscore"].to_pylist()
    tokenizer, network = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        of = [
            [network(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0) for text in pair]
            for pair in pairs
        ]
    by_hand = [float(torch.cosine_similarity(said, meant, dim=0)) for said, meant in of]
    assert found == pytest.approx(by_hand, abs=1e-5)
    assert found[2] == pytest.approx(1.0, abs=1e-6) != pytest.approx(found[0], abs=0.01)
