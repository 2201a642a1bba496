"""Forgetting at an equal gain, by lines that were drawn by hand."""

import math

import pytest

from benchmarks.objectives.late import at_equal_gain


def test_curves_are_compared_where_both_have_learned_as_much():
    one, other = [(4.0, 4.0), (3.0, 4.1)], [(3.5, 4.5), (2.5, 5.0)]  # (learned, kept): both reach 3.0 to 3.5
    assert at_equal_gain(one, other) == pytest.approx((4.075, 4.625))


def test_curves_that_do_not_meet_say_nothing():
    assert all(map(math.isnan, at_equal_gain([(1.0, 1.0), (2.0, 2.0)], [(3.0, 3.0), (4.0, 4.0)])))
