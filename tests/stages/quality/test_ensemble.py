"""Joined ranks against a sort by hand, ties and missing scores, buckets and levels."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from local_context import LocalContext

from pipeline.errors import DataError, RecipeError
from stages.quality.ensemble import Ensemble
from stages.read.read import Read

DOCS = Read(paths=("docs",), keep=("a:float", "b:float", "held_out:bool"))


def joined(folder, table, **fields):
    node = Ensemble(docs=DOCS, columns=("a", "b"), **fields)
    node.check()
    ctx = LocalContext(node, folder, {"docs": table})
    ctx.run_all()
    found = node._open(ctx)(table).added
    return {name: values.to_pylist() for name, values in found.items()}


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=40))
def test_a_rank_is_the_share_of_lower_scores_and_half_of_the_equal_ones(tmp_path_factory, rows):
    a, b = (np.array(column, float) for column in zip(*rows, strict=True))
    table = pa.table({"a": a, "b": b})
    ranks = [[((c < x).sum() + (c == x).sum() / 2) / len(c) for x in c] for c in (a, b)]
    for rule in ("mean", "max", "min"):
        found = joined(tmp_path_factory.mktemp("ranks"), table, rule=rule)["quality"]
        assert found == pytest.approx(getattr(np.array(ranks), rule)(axis=0).tolist(), abs=1e-6)


def test_buckets_levels_missing_scores_and_held_out_rows(tmp_path):
    n = 1000
    scores = np.arange(n, dtype=float)
    table = pa.table(
        {
            "a": pa.array(scores, mask=scores == 3),
            "b": [float("nan") if i == 5 else float(i) for i in range(n)],
            "held_out": [False] * n,
        }
    )
    found = joined(tmp_path, table, as_="q")
    assert found["q"][3] is found["q"][5] is found["q_bucket"][3] is found["q_level"][5] is None
    assert {b: found["q_bucket"].count(b) for b in (0, 10, 19)} == pytest.approx({0: 48, 10: 50, 19: 50}, abs=2)
    by_level = [found["q_level"].count(level) for level in range(5)]
    assert by_level == pytest.approx([348, 250, 300, 50, 50], abs=3)
    # rows that are held out are ranked, and have no say in the ranks
    outside = pa.table({"a": [5e9, 1.0], "b": [5e9, 1.0], "held_out": [True, False]})
    assert joined(tmp_path, outside)["quality"] == [1.0, 0.5]


def test_ranks_among_other_documents(tmp_path):
    """Of ten good documents: the worst of two measures, one of which is good when it is low."""
    good = pa.table({"a": np.arange(10.0), "b": np.arange(10.0), "held_out": [False] * 10})
    docs = pa.table({"a": [9.5, 9.5, -5.0, 4.0], "b": [-1.0, 8.5, -1.0, 4.0]})
    node = Ensemble(docs=DOCS, among=DOCS, columns=("a", "-b"), rule="min")
    node.check()
    ctx = LocalContext(node, tmp_path, {"docs": docs, "among": good})
    ctx.run_all()
    assert node._open(ctx)(docs).added["quality"].to_pylist() == pytest.approx([1.0, 0.1, 0.0, 0.45])
    with pytest.raises(RecipeError, match=r"ensemble\.among: no column 'b'"):
        Ensemble(docs=DOCS, among=Read(paths=("good",), keep=("a:float",)), columns=("a", "b")).check()


def test_wrong_fields_and_a_column_without_scores_are_named(tmp_path):
    for wrong in ({"levels": (12, 7)}, {"levels": (7, 20)}, {"buckets": 0}):
        with pytest.raises(RecipeError, match=next(iter(wrong))):
            Ensemble(docs=DOCS, columns=("a",), **wrong).check()
    with pytest.raises(DataError, match=r"ensemble\.columns b"):
        joined(tmp_path, pa.table({"a": [1.0], "b": pa.nulls(1, pa.float64())}))
