"""Selection: the exact share whatever the ties, held-out rows without a vote, each removal with its
reason."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from local_context import LocalContext

from pipeline.errors import DataError, RecipeError
from stages.expression import parse
from stages.map import Map
from stages.read.read import Read
from stages.select import Select

DOCS = Read(paths=("unread",), keep=("quality:float64", "held_out:bool", "topic:string"))


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
    low = result.facts["groups"][""]["cut"]
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


def of_topics(folder, rows, **fields):
    """(reason by id, value and threshold by id) of rows (quality, topic)."""
    table = pa.table(
        {
            "id": [f"d:{i}" for i in range(len(rows))],
            "quality": pa.array([quality for quality, _ in rows], pa.float64()),
            "topic": pa.array([topic for _, topic in rows], pa.string()),
        }
    )
    node = Select(docs=DOCS, **fields)
    node.check()
    ctx = LocalContext(node, folder, {"docs": table})
    for phase in node.phases()[:-1]:
        ctx.run(phase)
    removed = node.phases()[-1].open(ctx)(table).removed
    names = table["id"].to_pylist()
    gone = {name: reason for name, reason in zip(names, removed.reason.to_pylist(), strict=True) if reason}
    rows = zip(names, *(x.to_pylist() for x in (removed.value, removed.threshold) if x is not None), strict=True)
    return gone, {name: pair for name, *pair in rows if name in gone}, list(node.figures(ctx))


def test_each_group_has_a_cut_of_its_own(tmp_path):
    rows = [(i / 10, "a") for i in range(10)] + [(i / 1000, "b") for i in range(10)] + [(0.5, None)] * 2
    gone, limits, figures = of_topics(tmp_path, rows, by="quality", per="topic", keep_fraction={"a": 0.3, "b": 0.5})
    assert set(gone) == {f"d:{i}" for i in range(7)} | {f"d:{10 + i}" for i in range(5)}
    assert limits["d:0"] == [0.0, 0.7]
    assert limits["d:14"] == [0.004, 0.005]
    assert figures[1]["rows"][0] == ["a", 10, 3, 0.7]
    assert of_topics(tmp_path, rows, by="quality", per="topic", keep_fraction={"a": 0.0})[0].keys() == {
        f"d:{i}" for i in range(10)
    }


def test_low_is_good_where_the_user_says_so(tmp_path):
    rows = [(float(i), "a") for i in range(10)]
    gone, limits, figures = of_topics(tmp_path, rows, by="quality", keep_fraction=0.2, lowest=True)
    assert gone == {f"d:{i}": "select.high" for i in range(2, 10)}
    assert limits["d:9"] == [9.0, 1.0]
    assert figures[0]["marks"] == [{"x": 1.0, "label": "cut", "removed": "above"}]
    gone, *_ = of_topics(tmp_path, rows, by="quality", min=2, max=4)
    assert gone == {f"d:{i}": "select.low" if i < 2 else "select.high" for i in (0, 1, 5, 6, 7, 8, 9)}


def test_an_expression_is_a_score_and_a_condition(tmp_path):
    rows = [(float(i), "ab"[i % 2]) for i in range(6)] + [(None, "a")]
    gone, *_ = of_topics(tmp_path, rows, by="abs(quality - 2) * -1", min=-1)
    assert gone == {"d:0": "select.low", "d:4": "select.low", "d:5": "select.low", "d:6": "select.no_score"}
    gone, *_ = of_topics(tmp_path, rows, where="topic == 'b' or quality >= 4")
    assert gone == {"d:0": "select.where", "d:2": "select.where", "d:6": "select.no_score"}


def test_a_draw_is_keyed_by_seed_and_id_alone(tmp_path):
    rows = [(0.5, "ad" if i % 2 else "text") for i in range(4000)]
    few = {"sampling": "hash", "per": "topic", "keep_fraction": {"ad": 0.1}}
    gone, limits, figures = of_topics(tmp_path, rows, **few)
    assert set(gone.values()) == {"select.draw"}
    assert 1740 < len(gone) < 1860
    assert all(int(name[2:]) % 2 for name in gone)
    assert all(value >= limit == 0.1 for value, limit in limits.values())
    assert figures == []
    assert set(of_topics(tmp_path, rows[:1000], **few)[0]) == {name for name in gone if int(name[2:]) < 1000}
    assert set(of_topics(tmp_path, rows, **few, seed=1)[0]) != set(gone)


def test_the_pareto_draw_keeps_shares_in_closed_form(tmp_path):
    rows = [(score, "a") for score in (0.0, 0.9, 1.0) for _ in range(4000)] + [(None, "a")]
    gone, *_ = of_topics(tmp_path, rows, by="quality", sampling="pareto", alpha=3)
    kept = [sum(f"d:{i}" not in gone for i in range(at, at + 4000)) / 4000 for at in (0, 4000, 8000)]
    assert kept == pytest.approx([2**-3, 1.1**-3, 1.0], abs=0.02)
    assert gone["d:12000"] == "select.no_score"


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"by": "qualty", "min": 1}, "no column 'qualty'"),
        ({"by": "__import__('os')", "min": 1}, "__import__"),
        ({"by": "quality +", "min": 1}, "quality"),
        ({"by": "(" * 60 + "-" * 60 + "quality" + ")" * 60, "min": 1}, "levels"),
        ({"where": "quality + 1"}, "a condition"),
        ({"by": "quality", "keep_fraction": {"a": 0.5}}, "the column whose values"),
        ({"by": "quality", "min": 1, "per": "tpic"}, "no column 'tpic'"),
        ({"keep_fraction": 0.5}, "a column or an expression"),
        ({"by": "quality", "sampling": "hash", "keep_fraction": 0.5}, "no score is used"),
        ({"by": "quality", "min": 1, "where": "quality > 1"}, "min, max and where"),
    ],
)
def test_a_contradiction_is_named(fields, what):
    with pytest.raises(RecipeError, match=what):
        Select(docs=DOCS, **fields).check()


def test_zero_is_a_value_like_any_other(tmp_path):
    Select(docs=DOCS, by="quality", min=0.0).check()
    with pytest.raises(RecipeError, match="keep_fraction and min"):
        Select(docs=DOCS, by="quality", min=0.0, keep_fraction=0.5).check()


KINDS = {"q": "float32", "n": "int64", "lang": "string", "good": "bool", "vector": "float32[8]"}


@pytest.mark.parametrize(
    "fields", [{"min": 0.7}, {"max": 0.7}, {"where": "mark >= 0.7 and mark <= 0.7"}, {"where": "0.7 == mark"}]
)
def test_a_value_at_the_threshold_stays_in_the_precision_of_its_column(tmp_path, fields):
    marked = Map(docs=DOCS, fn="a:b", writes={"mark": "float32"})
    node = Select(docs=marked, **({"by": "mark"} if "where" not in fields else {}), **fields)
    node.check()
    table = pa.table({"id": ["d:0", "d:1"], "mark": pa.array([0.7, 0.7], pa.float32())})  # below 0.7 as a float64
    ctx = LocalContext(node, tmp_path, {"docs": table})
    if len(node.phases()) > 1:
        assert ctx.run_all()["all"].counts == {"scored": 2, "kept": 2}
    assert node.phases()[-1].open(ctx)(table).removed.reason.to_pylist() == [None, None]


@pytest.mark.parametrize(
    "text",
    ["lang > 0.5", "q == 'x'", "lang + 1", "-lang", "log(lang)", "lang", "lang and good", "max(lang, q)", "vector"],
)
def test_text_in_the_place_of_a_number_stops_the_plan(text):
    with pytest.raises(RecipeError, match=r"select\.by.*(text|float32\[8\])"):
        parse(text, "select.by", KINDS)


def test_whole_numbers_beyond_those_of_a_float_are_compared_as_they_are():
    table = pa.table({"n": [2**60, 2**60 + 1]})
    assert parse("n == 1152921504606846977", "select.where", KINDS).values(table).to_pylist() == [False, True]
    assert parse("n / 2", "select.by", KINDS).values(table).to_pylist() == [2.0**59, 2.0**59]
    assert parse("n", "select.by", KINDS).values(table).to_pylist() == [2.0**60, 2.0**60]


def test_a_column_of_bools_is_a_condition(tmp_path):
    node = Select(docs=DOCS, where="held_out")
    node.check()
    table = pa.table({"id": ["a", "b", "c"], "held_out": [True, False, None]})
    ctx = LocalContext(node, tmp_path, {"docs": table})
    removed = node.phases()[-1].open(ctx)(table).removed
    assert removed.reason.to_pylist() == [None, "select.where", "select.no_score"]
