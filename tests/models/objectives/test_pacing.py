"""Pacing against the published formulas at marked steps, and prefixes of an order."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.objectives.pacing import SHAPES, Pacing, prefix

EXPECTED = {  # at the middle of the climb, from 0.1 to 1
    "linear": 0.55,
    "quadratic": 0.325,
    "root": 0.1 + 0.9 * math.sqrt(0.5),
    "exponential": 0.1 + 0.9 * (math.exp(5) - 1) / (math.exp(10) - 1),
    "logarithm": 0.1 + 0.9 * (1 + 0.1 * math.log(0.5 + math.exp(-10))),
    "step": 0.1,
}


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_the_marked_steps(shape) -> None:
    pacing = Pacing(shape=shape, start=0.25, end=0.75)
    steps = 400
    assert pacing.at(0, steps) == pacing.at(99, steps) == 0.1
    assert pacing.at(100, steps) == pytest.approx(0.1, abs=1e-4)
    assert pacing.at(200, steps) == pytest.approx(EXPECTED[shape])
    assert pacing.at(300, steps) == pacing.at(400, steps) == 1.0


@given(st.sampled_from(sorted(SHAPES)), st.integers(1, 200), st.floats(0, 1), st.floats(0, 1))
def test_it_never_falls_and_stays_between_its_ends(shape, steps, one, other) -> None:
    pacing = Pacing(shape=shape, start=min(one, other), end=max(one, other), begin=0.2)
    found = [pacing.at(step, steps) for step in range(steps + 1)]
    assert found == sorted(found)
    assert all(0.2 <= value <= 1.0 for value in found)
    assert found[-1] == 1.0


def test_a_prefix_is_never_empty_and_is_everything_at_1() -> None:
    assert [prefix(share, 1000) for share in (1e-9, 0.1, 0.1001, 1.0)] == [1, 100, 101, 1000]


@pytest.mark.parametrize("wrong", [{"shape": "cubic"}, {"start": 0.9}, {"begin": 0.0}])
def test_a_field_out_of_range_is_named(wrong) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Pacing(**wrong)
