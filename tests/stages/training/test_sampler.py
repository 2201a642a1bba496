"""The laws of the order of training: exact quotas, no repeats in an epoch, slices, the inverse."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stages.training.sampler import BLOCK, Sampler, capped_shares


@given(
    shares=st.lists(st.floats(0.05, 1.0), min_size=1, max_size=4),
    batch_rows=st.sampled_from([1, 7, 32, 512]),
    seed=st.integers(0, 3),
    data=st.data(),
)
@settings(max_examples=8)  # a batch of one row has 8,192 steps, one by one
def test_every_block_holds_each_source_exactly_its_quota(shares, batch_rows, seed, data):
    rows = tuple(data.draw(st.integers(1, 900)) for _ in shares)
    names = tuple("abcd"[: len(shares)])
    sampler = Sampler(names, rows, tuple(shares), batch_rows, seed)
    assert sampler.quotas.sum() == BLOCK
    exact = np.array(shares) / sum(shares) * BLOCK
    assert np.all(np.abs(sampler.quotas - exact) < 1.0)
    steps = -(-2 * BLOCK // batch_rows)
    sources, _ = sampler.batch(0, steps)
    for block in (sources.ravel()[:BLOCK], sources.ravel()[BLOCK : 2 * BLOCK]):
        assert np.array_equal(np.bincount(block, minlength=len(shares)), sampler.quotas)


def test_every_batch_is_close_to_the_shares():
    sampler = Sampler(("web", "wiki"), (10_000, 10_000), (0.8, 0.2), 64, 0)
    sources, _ = sampler.batch(0, 200)
    assert np.all(np.abs(sources.sum(axis=1) - 64 * 0.2) <= 2)


def test_no_row_repeats_within_an_epoch_and_epochs_differ():
    sampler = Sampler(("a", "b"), (100, 37), (0.5, 0.5), 10, 5)
    sources, rows = sampler.batch(0, 400)
    for source, count in enumerate((100, 37)):
        seen = rows.ravel()[sources.ravel() == source]
        epochs = [seen[i : i + count] for i in range(0, len(seen) - count, count)]
        assert all(len(set(epoch)) == count for epoch in epochs)
        assert not np.array_equal(epochs[0], epochs[1])


@given(step=st.integers(0, 10**7), many=st.integers(1, 9))
@settings(max_examples=30)
def test_a_batch_depends_on_its_step_alone(step, many):
    sampler = Sampler(("a", "b", "c"), (1000, 51, 7), (0.5, 0.3, 0.2), 48, 11)
    sources, rows = sampler.batch(step, many)
    for i in range(many):
        alone = sampler.batch(step + i)
        assert np.array_equal(alone[0][0], sources[i])
        assert np.array_equal(alone[1][0], rows[i])


@given(seed=st.integers(0, 50), batch_rows=st.integers(1, 40), data=st.data())
@settings(max_examples=25)
def test_steps_of_row_is_the_inverse_of_batch(seed, batch_rows, data):
    counts = (data.draw(st.integers(1, 60)), data.draw(st.integers(1, 60)))
    sampler = Sampler(("x", "y"), counts, (0.7, 0.3), batch_rows, seed)
    steps = data.draw(st.integers(0, 60))
    sources, rows = sampler.batch(0, steps) if steps else (np.zeros((0, 1)), np.zeros((0, 1)))
    for source in (0, 1):
        row = data.draw(st.integers(0, counts[source] - 1))
        brute = [
            step
            for step in range(steps)
            for s, r in zip(sources[step], rows[step], strict=True)
            if (s, r) == (source, row)
        ]
        assert sampler.steps_of_row(source, row, steps) == brute


def test_a_new_source_leaves_the_order_of_the_others_alone():
    alone = Sampler(("a",), (500,), (1.0,), 16, 3)
    mixed = Sampler(("a", "b"), (500, 80), (0.6, 0.4), 16, 3)
    sources, rows = mixed.batch(0, 30)
    of_a = rows.ravel()[sources.ravel() == 0]
    assert np.array_equal(of_a, alone.batch(0, 30)[1].ravel()[: len(of_a)])


def test_capped_shares_move_what_a_small_source_cannot_give():
    assert capped_shares((0.5, 0.5), (100, 10_000), 1000, 2.0) == pytest.approx((0.2, 0.8), abs=1e-3)
    assert capped_shares((3, 1), (100, 100), 1000, None) == (0.75, 0.25)
    assert capped_shares((0.5, 0.5), (100, 100), 1000, 2.0) is None
    assert capped_shares((0.6, 0.3, 0.1), (100, 320, 9000), 1000, 1.0) == pytest.approx((0.1, 0.32, 0.58), abs=1e-3)
    # all rows of all sources are wanted, and ten tenths add up to less than one
    assert capped_shares((1.0,) * 10, (10,) * 10, 100, 1.0) == pytest.approx((0.1,) * 10)


@given(
    rows=st.lists(st.integers(1, 3000), min_size=2, max_size=5), cap=st.floats(0.5, 4.0), share=st.integers(1, 99),
    steps=st.integers(1, 500),
)  # fmt: skip
def test_no_source_is_read_more_often_than_its_cap(rows, cap, share, steps):
    rows = [*rows, 10**6]  # one that can take the rest
    shares = capped_shares((share, *[1.0] * (len(rows) - 1)), rows, 16 * steps, cap)
    assert shares is not None
    assume(min(shares) * BLOCK >= 1.0)
    sampler = Sampler(tuple(map(str, range(len(rows)))), tuple(rows), shares, 16, 0)
    assert max(sampler.epochs(steps)) <= cap * (1 + 1e-9)
