"""Span corruption: nothing is lost, the order and the count of sentinels, the measured shares, the same for ever."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.objectives.infill import Sentinels, Spans, added_tokens, choose_spans, corrupt, fitting_length, restore

SENTINELS = Sentinels(masks=tuple(range(1000, 1064)), end=2000, separator=2001, end_span=2002)


@given(st.integers(1, 400), st.integers(0, 10_000), st.sampled_from([(3, 8, 32), (1,), (200,)]))
def test_a_document_comes_back_whole(length: int, seed: int, span_lengths: tuple[int, ...]) -> None:
    ids = np.arange(length, dtype=np.int64) % 997
    spans = choose_spans(length, Spans(span_lengths=span_lengths), 64, f"{seed}")
    mixed = corrupt(ids, spans, SENTINELS)
    assert np.array_equal(restore(mixed, SENTINELS), ids)
    assert len(mixed) == length + (added_tokens(len(spans)) if spans else 0)
    assert bool(spans) == (length >= Spans().least_tokens)


@given(st.integers(16, 600), st.integers(0, 10_000))
def test_spans_are_in_order_apart_and_inside(length: int, seed: int) -> None:
    spans = choose_spans(length, Spans(), 64, f"{seed}")
    assert 1 <= len(spans) <= 64
    assert all(first < stop for first, stop in spans)
    assert all(stop < after for (_, stop), (after, _) in itertools.pairwise(spans))
    assert spans[0][0] >= 0
    assert spans[-1][1] <= length


@given(
    st.integers(1, 200), st.integers(0, 210), st.integers(0, 10_000), st.sampled_from([(3, 8, 32), (1,)]),
    st.sampled_from([(0.05, 0.5), (0.9, 0.95)]),
)  # fmt: skip
def test_as_much_of_a_document_is_taken_as_fits_and_no_more(length, room, seed, span_lengths, shares) -> None:
    config, key = Spans(least_share=shares[0], most_share=shares[1], span_lengths=span_lengths), f"{seed}"
    wide = {n: n + added_tokens(len(choose_spans(n, config, 64, key))) for n in range(config.least_tokens, length + 1)}
    assert fitting_length(length, room, config, 64, key) == max((n for n in wide if wide[n] <= room), default=0)


def test_sentinels_stand_in_order_in_the_context_and_again_before_their_spans() -> None:
    ids = np.arange(7)
    mixed = corrupt(ids, [(2, 4), (5, 6)], SENTINELS)
    assert mixed.tolist() == [0, 1, 1000, 4, 1001, 6, 2000, 2001, 1000, 2, 3, 2002, 1001, 5, 2002]


def test_a_document_may_begin_and_end_in_a_span() -> None:
    chosen = [choose_spans(40, Spans(), 64, f"{seed}") for seed in range(2000)]
    assert any(spans[0][0] == 0 for spans in chosen)
    assert any(spans[-1][1] == 40 for spans in chosen)


def test_shares_and_span_lengths_are_those_that_were_asked_for() -> None:
    length, config = 2000, Spans(least_share=0.15, most_share=0.15, span_lengths=(8,))
    chosen = [choose_spans(length, config, 64, f"{seed}") for seed in range(300)]
    taken = np.array([sum(stop - first for first, stop in spans) for spans in chosen])
    spans = np.array([len(spans) for spans in chosen])
    assert np.mean(taken) / length == pytest.approx(0.15, rel=0.02)
    assert np.mean(taken / spans) == pytest.approx(8, rel=0.02)
    drawn = [choose_spans(length, Spans(), 64, f"{seed}") for seed in range(1000)]
    shares = np.array([sum(stop - first for first, stop in spans) / length for spans in drawn])
    assert shares.mean() == pytest.approx(0.275, rel=0.04)
    assert shares.min() >= 0.049
    assert shares.max() <= 0.501


def test_a_choice_is_the_same_for_ever_and_another_for_another_key() -> None:
    assert choose_spans(60, Spans(), 64, "0/doc/1") == [(34, 44)]
    assert choose_spans(60, Spans(), 64, "0/doc/2") != choose_spans(60, Spans(), 64, "0/doc/1")


@pytest.mark.parametrize("wrong", [{"least_share": 0.6}, {"span_lengths": ()}, {"least_tokens": 1}])
def test_a_field_out_of_range_is_named(wrong) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Spans(**wrong)
