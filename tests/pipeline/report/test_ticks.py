"""Laws of the axes: ticks rise, lie inside, stand at round distances, and have labels that differ."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.report import ticks

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def spans(draw_from=FINITE):
    return st.tuples(draw_from, draw_from).map(lambda pair: (min(pair), max(pair)))


@given(spans(), st.integers(2, 10))
def test_linear_ticks_rise_inside_the_axis_and_are_not_many(span, target):
    axis = ticks.linear(*span, target)
    values = [value for value, _ in axis.ticks]
    assert axis.low < axis.high
    assert all(axis.low <= value <= axis.high for value in values)
    assert all(a < b for a, b in pairwise(values))
    assert len(values) <= target + 1


@given(spans(st.floats(-1e9, 1e9, allow_subnormal=False)), st.integers(3, 10))
@example((780749731.0, 782749691.0), 4)  # a step of half a million
def test_linear_ticks_stand_at_one_nice_distance_with_labels_that_differ(span, target):
    axis = ticks.linear(*span, target)
    assert len(axis.ticks) >= 1
    assert len({label for _, label in axis.ticks}) == len(axis.ticks)
    if len(axis.ticks) > 2:
        gaps = [float(Fraction(b[0]) - Fraction(a[0])) for a, b in pairwise(axis.ticks)]
        mantissa = float(f"{gaps[0]:.6e}".split("e")[0])
        assert mantissa == pytest.approx(min((1, 2, 2.5, 5, 10), key=lambda nice: abs(nice - mantissa)), rel=1e-4)
        assert max(gaps) == pytest.approx(min(gaps), rel=1e-4)
        # no room for one more at either end
        assert axis.ticks[0][0] - axis.low <= gaps[0] * 1.0001
        assert axis.high - axis.ticks[-1][0] <= gaps[0] * 1.0001


@given(st.integers(0, 10**7))
def test_whole_ticks_are_whole(top):
    assert all(value == int(value) for value, _ in ticks.linear(0, top or 1, whole=True).ticks)


@given(spans(st.floats(1e-30, 1e30)))
def test_log_ticks_rise_inside_the_axis(span):
    axis = ticks.logarithmic(*span)
    values = [value for value, _ in axis.ticks]
    assert values
    assert all(axis.low <= value <= axis.high for value in values)
    assert all(a < b for a, b in pairwise(values))
    assert len(values) <= 14


@given(spans(), FINITE)
@example((0.0, 5e-324), 0.0)
@example((-1.7e308, 1.7e308), 1.0)
def test_place_is_inside_and_keeps_order(span, value):
    axis = ticks.linear(*span)
    assert 0 <= axis.place(value) <= 1
    assert axis.place(axis.low) == 0
    assert axis.place(axis.high) == 1


def test_labels_are_written_as_people_do():
    def labels(axis):
        return [label for _, label in axis.ticks]

    assert labels(ticks.linear(0, 1)) == ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    assert labels(ticks.linear(0, 1200)) == ["0", "250", "500", "750", "1,000"]
    assert labels(ticks.linear(0, 3e6)) == ["0", "1M", "2M", "3M"]
    assert labels(ticks.linear(-5, 5)) == ["−4", "−2", "0", "2", "4"]
    assert (
        labels(ticks.linear(1e-7, 5e-7))
        == ["1×10⁻⁷", "2×10⁻⁷", "3×10⁻⁷", "4×10⁻⁷", "5×10⁻⁷"][: len(labels(ticks.linear(1e-7, 5e-7)))]
    )
    assert labels(ticks.logarithmic(1, 15)) == ["1", "2", "5", "10"]
    assert labels(ticks.logarithmic(0.5, 2e6)) == ["1", "100", "10k", "1M"]
