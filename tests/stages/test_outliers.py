"""Limits by quantile: never more than the asked share, the limit itself stays, any order, groups and held-out rows."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from local_context import LocalContext

from pipeline.errors import DataError, RecipeError
from stages.outliers import Outliers
from stages.read.read import Read

DOCS = Read(paths=("unread",), keep=("a:float64", "b:int64", "held_out:bool", "topic:string"))


def outliers(folder, table, **fields):
    """(Removed, facts)."""
    node = Outliers(docs=DOCS, **fields)
    node.check()
    ctx = LocalContext(node, folder, {"docs": table})
    facts = ctx.run_all()["all"].facts
    return node.phases()[1].open(ctx)(table).removed, facts["limits"]


score = st.one_of(st.none(), st.integers(0, 9).map(float), st.just(float("nan")))
quantile = st.sampled_from([0.0, 0.05, 0.1, 1 / 3, 0.5, 0.9, 0.95, 1.0])


@given(
    st.lists(st.tuples(score, st.booleans(), st.sampled_from("xy")), min_size=1, max_size=60), quantile, st.randoms()
)
def test_as_many_go_as_the_quantile_allows_and_not_one_more(tmp_path_factory, rows, share, shuffle):
    table = pa.table({"a": pa.array([s for s, _, _ in rows], pa.float64()), "held_out": [h for _, h, _ in rows],
                      "topic": [t for _, _, t in rows]})  # fmt: skip
    voters = {t: sorted(s for s, h, u in rows if u == t and not h and s is not None and s == s) for t in "xy"}
    if not any(voters.values()):
        with pytest.raises(DataError, match="outliers a"):
            outliers(tmp_path_factory.mktemp("o"), table, max={"a": share})
        return
    gone, limits = outliers(tmp_path_factory.mktemp("o"), table, max={"a": share}, per="topic")
    for topic, scores in voters.items():
        if not scores:
            assert topic not in limits
            continue
        most = limits[topic]["a"]["max"]
        room = (1 - share) * len(scores) + 1e-6
        assert sum(s > most for s in scores) <= room
        lower = [s for s in scores if s < most]  # the next limit would take too many
        assert not lower or sum(s > lower[-1] for s in scores) > room - 2e-6
    reasons = gone.reason.to_pylist()
    for (s, _, topic), reason, limit in zip(rows, reasons, gone.threshold.to_pylist(), strict=True):
        most = limits.get(topic, {"a": {"max": np.inf}})["a"]["max"]
        assert (reason is not None) == (s is not None and s > most)
        assert limit == (None if reason is None else most)
    order = list(range(len(rows)))
    shuffle.shuffle(order)
    again, same = outliers(tmp_path_factory.mktemp("o"), table.take(order), max={"a": share}, per="topic")
    assert same == limits
    assert again.reason.to_pylist() == [reasons[at] for at in order]


def test_both_sides_of_several_columns_and_the_first_broken_one_is_the_reason(tmp_path):
    table = pa.table({"a": np.arange(100.0), "b": [0] * 95 + [7] * 5})
    gone, limits = outliers(tmp_path, table, min={"a": 0.1}, max={"a": 0.9, "b": 0.9})
    assert limits[""] == {"a": {"scored": 100, "min": 10.0, "max": 89.0}, "b": {"scored": 100, "min": None, "max": 0.0}}
    assert gone.reason.to_pylist() == ["outliers.a"] * 10 + [None] * 80 + ["outliers.a"] * 10
    assert gone.threshold.to_pylist() == [10.0] * 10 + [None] * 80 + [89.0] * 10
    assert gone.value.to_pylist()[:2] + gone.value.to_pylist()[-1:] == [0.0, 1.0, 99.0]


def test_what_makes_no_limit_is_named(tmp_path):
    for fields, message in (
        ({}, "neither min nor max"),
        ({"max": {"c": 0.9}}, "no column 'c'"),
        ({"max": {"topic": 0.9}}, "of type string"),
        ({"max": {"a": 0.9}, "per": "c"}, r"outliers\.per"),
        ({"max": {"a": 0.2}, "min": {"a": 0.3}}, "a quantile below that of max"),
    ):
        with pytest.raises(RecipeError, match=message):
            Outliers(docs=DOCS, **fields).check()
    with pytest.raises(DataError, match="outliers b: no document has a score"):
        outliers(tmp_path, pa.table({"a": [1.0], "b": pa.nulls(1, pa.int64())}), max={"a": 0.9, "b": 0.9})
