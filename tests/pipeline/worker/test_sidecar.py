"""Side-cars: bytes that are a function of the values, and every way in which a row function can be wrong."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.contract import Columns, Node, Removed, RowNode, RowPhase, Shard
from pipeline.errors import DataError
from pipeline.files.objects import sha256_of
from pipeline.worker.pieces import cut_into_batches
from pipeline.worker.row_function import Scorer, rest
from pipeline.worker.sidecar import SideCar


@dataclass(frozen=True, kw_only=True, eq=False)
class Odd(RowNode):
    """Adds three columns, changes some texts, removes some rows."""

    docs: Node | None = None
    reasons: ClassVar = ("odd.long", "odd.digit")
    changes_text: ClassVar = True
    histograms: ClassVar = {"half": (-8.0, 8.0, 4)}

    def adds(self):
        return {"half": "float32", "first": "string", "size": "int64"}

    def open(self, ctx):
        return odd


def odd(table: pa.Table) -> Columns:
    texts = table["text"].to_pylist()
    half = pa.array([None if t == "" else (len(t) - 4) / 2 * (-0.0 if t == "zero" else 1) for t in texts], pa.float32())
    long = Removed.where(pc.greater(pc.utf8_length(table["text"]), 8), "odd.long", pc.utf8_length(table["text"]), 8)
    digit = Removed.where(pc.match_substring_regex(table["text"], "[0-9]"), "odd.digit")
    return Columns(
        added={"half": half, "first": [t[:1] or None for t in texts], "size": np.array([len(t) for t in texts])},
        removed=Removed.first([long, digit]),
        text=pa.array([t.lower() if t != t.lower() else None for t in texts], pa.string()),
    )


def shard(rows: int) -> Shard:
    return Shard("0" * 12, "0000", rows, 0)


def scorer(node: RowNode, rows: int, function=None) -> Scorer:
    (phase,) = node.phases()
    assert isinstance(phase, RowPhase)
    return Scorer(node, phase, shard(rows), lambda: function or node.open(None))


def write(path, texts: list[str], alive: list[bool], cuts: list[int]):
    """One side-car over the rows that are alive, in batches that end at `cuts`."""
    car = SideCar(scorer(Odd(), len(texts)), shard(len(texts)))
    table = pa.table({"text": pa.array(texts, pa.string()), "_row": np.arange(len(texts))})
    mask = np.array(alive, bool)
    edges = sorted({0, *(cut % (len(texts) + 1) for cut in cuts), len(texts)})
    for start, stop in pairwise(edges):
        batch = table.slice(start, stop - start).filter(pa.array(mask[start:stop]))
        car.add(batch, car.scorer.score(batch, ["text"]), ["text"])
    return car.write(path)


texts = st.lists(st.text("aB3 zero", max_size=12), min_size=1, max_size=40)


@settings(max_examples=60)
@given(st.data(), texts)
def test_batches_do_not_matter(tmp_path_factory, data, texts):
    folder = tmp_path_factory.mktemp("cars")
    alive = data.draw(st.lists(st.booleans(), min_size=len(texts), max_size=len(texts)))
    cuts = data.draw(st.lists(st.integers(0, 100), max_size=6))
    whole = write(folder / "whole.parquet", texts, alive, [])
    cut = write(folder / "cut.parquet", texts, alive, cuts)
    assert sha256_of(folder / "whole.parquet") == sha256_of(folder / "cut.parquet")
    assert whole == cut
    table = pq.read_table(folder / "whole.parquet")
    check_rows(table, texts, alive)


def check_rows(table: pa.Table, texts: list[str], alive: list[bool]) -> None:
    """Against a loop over the rows."""
    for row, text, lives in zip(table.to_pylist(), texts, alive, strict=True):
        if not lives:
            assert set(row.values()) == {None}
            continue
        code = 1 if len(text) > 8 else 2 if any(c.isdigit() for c in text) else 0
        assert row["state"] == code
        assert row["removed_value"] == (len(text) if code == 1 else None)
        assert row["removed_threshold"] == (8 if code == 1 else None)
        assert row["size"] == len(text)
        assert row["first"] == (text[:1] or None)
        assert row["half"] == (None if text == "" else (len(text) - 4) / 2)
        assert row["text"] == (text.lower() if text != text.lower() else None)


def test_counts_and_histograms_are_of_the_rows(tmp_path):
    result = write(tmp_path / "x", ["", "zero", "a", "a" * 24, "B3", "gone"], [True] * 5 + [False], [2])
    assert dict(result.counts) == {
        "alive_in": 5, "alive_out": 3, "removed.odd.long": 1, "removed.odd.digit": 1, "text_bytes_in": 31,
    }  # fmt: skip
    assert result.facts["histograms"]["half"] == [0, 2, 1, 1]  # 10 lies beyond the last bin, which ends at 8
    assert result.facts["removed_histograms"]["half"] == [0, 1, 0, 1]


def test_minus_zero_is_zero(tmp_path):
    write(tmp_path / "x", ["zero"], [True], [])
    assert not np.signbit(pq.read_table(tmp_path / "x")["half"].to_numpy()[0])


def test_a_shard_without_rows_alive_is_all_null(tmp_path):
    result = write(tmp_path / "x", ["a", "b"], [False, False], [])
    assert dict(result.counts) == {"alive_in": 0, "alive_out": 0, "text_bytes_in": 0}
    assert pq.read_table(tmp_path / "x").to_pylist() == [dict.fromkeys(Odd().adds() | dict.fromkeys(
        ["state", "text", "removed_value", "removed_threshold"]))] * 2  # fmt: skip


def columns(**changed):
    good = odd(TWO)
    return lambda table: Columns(
        added={**good.added, **{k: v for k, v in changed.items() if k in good.added or k == "more"}},
        removed=changed.get("removed", good.removed),
        text=good.text,
    )


TWO = pa.table({"text": ["aa", "bb"], "_row": np.arange(2)})
nothing = pa.nulls(2, pa.string())


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (columns(half=[1.0, float("nan")]), "column half: row 1 is NaN"),
        (columns(half=[1.0]), "column half: 1 values; expected 2, one a row"),
        (columns(size=["x", "y"]), "column size: .*; expected int64"),
        (columns(size=[1.5, 2.0]), "column size: .*; expected int64"),
        (columns(more=[1, 2]), "columns .*'more'.* from the row function; expected those of adds"),
        (lambda table: Columns(), r"columns \[\] from the row function"),
        (columns(removed=Removed(pa.array(["odd.other", None]))), "the reason 'odd.other'; expected one of odd.long"),
        (columns(removed=Removed(pa.array(["odd.long"]))), "reasons: 1 values; expected 2, one a row"),
        (columns(removed=Removed(nothing, pa.array([1.0]))), "measured values: 1 values; expected 2, one a row"),
        (columns(removed=Removed(nothing, None, pa.array([1.0] * 3))), "thresholds: 3 values; expected 2, one a row"),
        (columns(removed=Removed(nothing, pa.array([float("nan"), None]))), "measured values: row 0 is NaN"),
        (lambda table: Columns(added=odd(TWO).added, text=["only one"]), "texts: 1 values; expected 2, one a row"),
    ],
)  # fmt: skip
def test_a_wrong_row_function_is_named(function, message):
    with pytest.raises(DataError, match=rf"odd over 00000000-0000.*{message}"):
        scorer(Odd(), 2, function).score(TWO, ["text"])


@dataclass(frozen=True, kw_only=True, eq=False)
class Quiet(RowNode):
    """Declares no change of the text, and yet gives one."""

    docs: Node | None = None

    def open(self, ctx):
        return lambda table: Columns(text=table["text"])


def test_an_undeclared_change_of_the_text_is_named():
    with pytest.raises(DataError, match=r"a changed text.*changes_text"):
        scorer(Quiet(), 2).score(TWO, ["text"])


def test_rows_that_stay_carry_the_new_columns_and_the_new_text():
    table = pa.table({"text": ["aB", "9", "c"], "_row": np.arange(3)})
    odd_rows = scorer(Odd(), 3)
    assert rest(table, odd_rows.score(table, ["text"]), odd_rows.types).to_pydict() == {
        "text": ["ab", "c"], "_row": [0, 2], "half": [-1.0, -1.5], "first": ["a", "c"], "size": [2, 1],
    }  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Padded(RowNode):
    """A value that depends on the other rows of its batch, as the sums of a network over padded texts do."""

    docs: Node | None = None

    def adds(self):
        return {"width": "int64"}

    def phases(self):
        return (RowPhase(open=self.open, needs=("text",), batch_rows=4, reuse="batches"),)

    def open(self, ctx):
        def rows(table):
            ASKED.append(len(table))
            return Columns(added={"width": [max(map(len, table["text"].to_pylist()))] * len(table)})

        return rows


ASKED: list[int] = []


@settings(max_examples=100)
@given(st.data(), st.integers(1, 20))
def test_scores_that_depend_on_their_batch_are_copied_with_it_or_not_at_all(tmp_path_factory, data, count):
    path = tmp_path_factory.mktemp("cars") / "before.parquet"
    table = pa.table({"text": ["x" * (i * 7 % 11) for i in range(count)], "_row": np.arange(count)})
    before, now = (data.draw(st.lists(st.booleans(), min_size=count, max_size=count)) for _ in range(2))
    node = Padded()
    (phase,) = node.phases()

    def scored(alive, known=None):
        """(width of every row that is alive, side-car)."""
        of = Scorer(node, phase, shard(count), lambda: node.open(None), known)  # pyright: ignore[reportArgumentType]
        car, rows = SideCar(of, shard(count)), table.filter(pa.array(alive))
        for batch in cut_into_batches(rows, 4, None):
            car.add(batch, of.score(batch, ["text"]), ["text"])
        return car

    scored(before).write(path)
    scored(now).write(fresh := path.with_name("fresh.parquet"))
    ASKED.clear()
    scored(now, path).write(copied := path.with_name("copied.parquet"))
    assert sha256_of(copied) == sha256_of(fresh)
    if now == before:
        assert not ASKED
