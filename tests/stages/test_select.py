"""Selection: the exact share whatever the ties, held-out rows without a vote, each removal with its
reason."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from local_context import LocalContext

from pipeline.errors import DataError, RecipeError
from stages.read.read import Read
from stages.select import Select

DOCS = Read(paths=("unread",), keep=("quality:float64", "held_out:bool"))


def select(folder, scores, held_out=None, **fields):
    """(reason per row, facts of the cut, context)."""
    table = pa.table({"id": [f"d:{i}" for i in range(len(scores))], "quality": pa.array(scores, pa.float32())})
    if held_out is not None:
        table = table.append_column("held_out", pa.array(held_out))
    node = Select(docs=DOCS, by="quality", **fields)
    node.check()
    ctx = LocalContext(node, folder, {"docs": table})
    result = ctx.run_all()["all"]
    removed = node.phases()[1].open(ctx)(table).removed
    return removed.reason.to_pylist(), result, ctx


score = st.one_of(st.none(), st.floats(0, 1, width=16), st.just(float("nan")))


@settings(max_examples=150)
@given(st.lists(st.tuples(score, st.booleans()), min_size=1, max_size=250), st.floats(0.01, 1.0))
def test_the_asked_share_of_the_scored_rows_stays_and_they_are_the_best(tmp_path_factory, rows, share):
    scores, marks = [s for s, _ in rows], [m for _, m in rows]
    voters = [s for s, m in rows if s is not None and s == s and not m]
    wanted = int(share * len(voters) + 0.5)
    if not wanted:
        with pytest.raises(DataError):
            select(tmp_path_factory.mktemp("s"), scores, marks, keep_fraction=share)
        return
    reasons, result, _ = select(tmp_path_factory.mktemp("s"), scores, marks, keep_fraction=share)
    kept = [s for s, m, r in zip(scores, marks, reasons, strict=True) if r is None and not m]
    assert len(kept) == wanted == result.counts["kept"]
    assert sorted(kept) == sorted(voters)[len(voters) - wanted :]
    for s, reason in zip(scores, reasons, strict=True):
        assert (reason == "select.no_score") == (s is None or s != s)
    # the same cut for the held-out rows
    assert all(r is None for s, r in zip(scores, reasons, strict=True) if s is not None and s > max(kept))
    low = result.facts["cut"]
    assert all(r == "select.low" for s, r in zip(scores, reasons, strict=True) if s is not None and s < low)


def test_ties_do_not_depend_on_the_order_of_rows(tmp_path):
    node = Select(docs=DOCS, by="quality", keep_fraction=0.37)
    kept = []
    for step in (1, -1):
        table = pa.table({"id": [f"d:{i}" for i in range(100)][::step], "quality": [0.5] * 100})
        ctx = LocalContext(node, tmp_path / str(step), {"docs": table})
        ctx.run_all()
        reasons = node.phases()[1].open(ctx)(table).removed.reason.to_pylist()
        kept.append({name for name, reason in zip(table["id"].to_pylist(), reasons, strict=True) if reason is None})
    assert kept[0] == kept[1]
    assert len(kept[0]) == 37


def test_a_value_is_a_floor_and_the_figure_shows_it(tmp_path):
    reasons, result, ctx = select(tmp_path, [0.1, 0.5, 0.4999, None], min=0.5)
    assert reasons == ["select.low", None, "select.low", "select.no_score"]
    assert result.counts == {"scored": 3, "kept": 1}
    (figure,) = ctx.node.figures(ctx)
    assert figure["marks"] == [{"x": 0.5, "label": "cut", "removed": "below"}]
    assert sum(figure["counts"]) == 3
    assert len(figure["edges"]) == len(figure["counts"]) + 1


def test_contradictions_and_empty_inputs_are_named(tmp_path):
    for fields in ({}, {"keep_fraction": 0.5, "min": 0.1}):
        with pytest.raises(RecipeError):
            Select(docs=DOCS, by="quality", **fields).check()
    with pytest.raises(DataError, match="no row has a score"):
        select(tmp_path, [None, None], keep_fraction=0.5)


def test_zero_is_a_value_like_any_other(tmp_path):
    Select(docs=None, by="q", min=0.0).check()
    with pytest.raises(RecipeError, match="both"):
        Select(docs=None, by="q", min=0.0, keep_fraction=0.5).check()
