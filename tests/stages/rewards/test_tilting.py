"""The arithmetic of calibrated rewards, against closed forms, enumeration and the optimum itself."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from stages.rewards.tilting import GRID, beta_for, calibrated, divergence, order_weights, transformed, wins

MIDDLES = (np.arange(GRID) + 0.5) / GRID


def win_rate(density: np.ndarray, n: int, kind: str) -> float:
    """Of a policy with a density over u, against the uniform one: exact up to the grid."""
    upto = np.cumsum(density) / GRID - density / GRID / 2  # the distribution at the middles of the grid
    if kind == "worst":
        return 1 - win_rate(density[::-1], n, "best")
    return 1 - float(n * (upto**n * MIDDLES ** (n - 1)).mean())


def tilted(phi: np.ndarray, beta: float) -> np.ndarray:
    weights = np.exp(phi / beta - (phi / beta).max())
    return weights / weights.mean()


def optimum(n: int, kl: float) -> tuple[float, float]:
    """Win rate for the best of n, and the divergence, of the policy that no other one beats at that divergence: the
    functional derivative of the win rate is its own reward.
    """
    density, low, high = np.ones(GRID), 1e-3, 1e3
    for _ in range(60):
        beta = math.sqrt(low * high)
        for _ in range(300):
            upto = np.cumsum(density) / GRID
            inside = (upto * MIDDLES) ** (n - 1)
            phi = -(n**2) * (inside[::-1].cumsum()[::-1]) / GRID
            density = 0.5 * density + 0.5 * tilted(phi, beta)
        reached = float((density * np.log(density)).mean())
        low, high = (beta, high) if reached > kl else (low, beta)
    return win_rate(density, n, "best"), reached


# Win rate of the best of four, of the worst of four, and of one answer, at a divergence of .5 nats (computed once by
# another program; to .003).
TABLE = {0.0: (0.7998, 0.8860, 0.7737), 5.0: (0.8566, None, 0.7461), -5.0: (None, 0.9439, None),
         10.0: (0.8715, None, 0.7117), -10.0: (None, 0.9476, None), 20.0: (0.8680, None, 0.6730)}  # fmt: skip


@pytest.mark.parametrize("t", TABLE)
def test_win_rates_of_transforms_at_one_divergence(t):
    beta = beta_for(t, 0.5)
    assert divergence(t, beta) == pytest.approx(0.5, abs=1e-9)
    density = tilted(transformed(MIDDLES, t), beta)
    found = win_rate(density, 4, "best"), win_rate(density, 4, "worst"), win_rate(density, 1, "plain")
    for value, expected in zip(found, TABLE[t], strict=True):
        assert expected is None or value == pytest.approx(expected, abs=0.003)


@pytest.mark.long
def test_no_transform_beats_the_optimum():
    best, reached = optimum(4, 0.5)
    assert reached == pytest.approx(0.5, abs=2e-3)
    assert best == pytest.approx(0.8732, abs=0.003)
    for t in TABLE:
        assert win_rate(tilted(transformed(MIDDLES, t), beta_for(t, 0.5)), 4, "best") <= best + 1e-3
    one, _ = optimum(1, 0.5)
    assert win_rate(tilted(MIDDLES, beta_for(0.0, 0.5)), 1, "plain") == pytest.approx(one, abs=1e-3)


def test_calibration_is_the_share_of_the_others_that_an_answer_beats():
    draw = np.random.default_rng(0)
    for _ in range(50):
        rewards = draw.integers(0, 6, draw.integers(2, 12)).astype(float)
        by_hand = [
            np.mean([1.0 * (other < own) + 0.5 * (other == own) for j, other in enumerate(rewards) if j != i])
            for i, own in enumerate(rewards)
        ]
        np.testing.assert_allclose(calibrated(rewards), by_hand, atol=1e-15)
        np.testing.assert_array_equal(calibrated(np.exp(rewards)), calibrated(rewards))  # a monotone change is none
        worse = np.concatenate([rewards, [-1.0, -1.0]])
        np.testing.assert_allclose(calibrated(rewards, worse=2), calibrated(worse)[:-2], atol=1e-15)
    assert np.isnan(calibrated(np.array([1.0]))).all()
    assert calibrated(np.array([1.0]), worse=1) == [1.0]


@pytest.mark.parametrize(("kind", "n"), [("plain", 1), ("best", 2), ("best", 3), ("worst", 3)])
def test_the_win_rate_is_that_of_all_draws(kind, n):
    draw = np.random.default_rng(1)
    own, other = draw.integers(0, 5, 6).astype(float), draw.integers(0, 5, 5).astype(float)
    take = {"plain": max, "best": max, "worst": min}[kind]
    pairs = [(take(a), take(b)) for a in itertools.combinations(own, n) for b in itertools.combinations(other, n)]
    by_hand = np.mean([1.0 * (a > b) + 0.5 * (a == b) for a, b in pairs])
    assert wins(own, other, n, kind) == pytest.approx(by_hand, abs=1e-12)
    assert order_weights(7, n, kind).sum() == pytest.approx(1.0, abs=1e-12)


def test_two_outcomes_shift_the_logit_by_half_of_one_over_beta():
    """A win of probability p has u = 1 - p / 2, a loss (1 - p) / 2: the odds change by exp(.5 / beta)."""
    p, beta = 0.3, 0.7
    u = np.array([(1 - p) / 2, 1 - p / 2])
    weights = np.array([1 - p, p]) * np.exp(transformed(u, 0.0) / beta)
    shifted = weights[1] / weights.sum()
    assert math.log(shifted / (1 - shifted)) == pytest.approx(math.log(p / (1 - p)) + 1 / (2 * beta), abs=1e-12)


FLIPS = 12
HEADS = np.array([math.comb(FLIPS, k) for k in range(FLIPS + 1)]) / 2**FLIPS  # of a fair coin


def best_of(chances: np.ndarray, n: int, kind: str) -> np.ndarray:
    """The distribution of the best, or of the worst, of n independent draws."""
    if kind == "worst":
        return best_of(chances[::-1], n, "best")[::-1]
    return np.diff(np.concatenate([[0.0], np.cumsum(chances) ** n]))


# (plain, best of 4, worst of 4) at .5 nats
COINS = {0.0: (0.770, 0.787, 0.875), 10.0: (0.708, 0.862, 0.668), -10.0: (0.729, 0.672, 0.937)}


@pytest.mark.parametrize("t", COINS)
def test_the_world_of_coins(t):
    """All 4,096 answers of twelve flips, rewarded by heads: ties are many, so u has 13 values."""
    u = np.cumsum(HEADS) - HEADS / 2
    low, high = 1e-3, 1e6
    for _ in range(100):
        beta = math.sqrt(low * high)
        weights = HEADS * np.exp((transformed(u, t) - transformed(u, t).max()) / beta)
        policy = weights / weights.sum()
        low, high = (beta, high) if float((policy * np.log(policy / HEADS)).sum()) > 0.5 else (low, beta)
    for (kind, n), expected in zip((("plain", 1), ("best", 4), ("worst", 4)), COINS[t], strict=True):
        own, other = best_of(policy, n, kind), best_of(HEADS, n, kind)
        assert float(own @ (np.cumsum(other) - other / 2)) == pytest.approx(expected, abs=0.003)


def test_the_estimator_finds_the_enumerated_win_rate():
    """Sixteen answers a prompt, for 400 prompts: within two standard errors of what all answers give."""
    draw = np.random.default_rng(3)
    policy = HEADS * 1.2 ** np.arange(FLIPS + 1)
    policy /= policy.sum()
    own, other = best_of(policy, 4, "best"), best_of(HEADS, 4, "best")
    exact = float(own @ (np.cumsum(other) - other / 2))
    heads = np.arange(FLIPS + 1.0)
    found = [wins(draw.choice(heads, 16, p=policy), draw.choice(heads, 16, p=HEADS), 4, "best") for _ in range(400)]
    assert np.mean(found) == pytest.approx(exact, abs=2 * np.std(found) / 20)
