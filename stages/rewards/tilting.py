"""Rewards as quantiles, and what they are worth under a way of sampling: the arithmetic of InfAlign.

A reward is worth what it wins by. Among the answers of a reference to one prompt, the calibrated reward u of an answer
is the share of other answers that it beats; under the reference u is uniform, whatever the scale of the reward. The
policy that wins most often at a given divergence from the reference is the reference, tilted by exp(phi(u) / beta), and
phi depends on how answers are drawn: u itself for one answer, exp(t u) for the best of several, -exp(t u) with negative
t for the worst of several.

Source: Balashankar et al. 2024 (InfAlign, arXiv 2412.19792).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

import numpy as np

GRID = 4000  # midpoints of [0, 1] on which beta is solved for
MOST_KL = 5.0  # nats; beyond it the tilted policy is a few points of the grid
Kind = Literal["plain", "best", "worst"]


def calibrated(rewards: np.ndarray, worse: int = 0) -> np.ndarray:
    """u of each of the answers to one prompt [answers]: the share of the others that it beats, a tie counting half.

    `worse` more answers are beaten by all. NaN where an answer has no other beside it.
    """
    ordered = np.sort(rewards)
    below = np.searchsorted(ordered, rewards, "left")
    ties = np.searchsorted(ordered, rewards, "right") - below - 1  # without itself
    others = len(rewards) - 1 + worse
    return (below + worse + 0.5 * ties) / others if others else np.full(len(rewards), np.nan)


def transformed(u: np.ndarray, t: float) -> np.ndarray:
    """phi: u for t = 0, else sign(t) exp(t u)."""
    return u if t == 0 else math.copysign(1.0, t) * np.exp(t * u)


def divergence(t: float, beta: float) -> float:
    """KL [nats] of the tilted policy from a reference under which u is uniform."""
    exponent = transformed((np.arange(GRID) + 0.5) / GRID, t) / beta
    weights = np.exp(exponent - exponent.max())
    mean = weights.mean()
    return float((weights * (exponent - exponent.max())).mean() / mean - math.log(mean))


def beta_for(t: float, kl: float) -> float:
    """The beta of a tilted policy with this divergence, 0 < kl <= `MOST_KL` [nats]. It falls as beta grows."""
    low, high = 1e-6, 1e12
    for _ in range(200):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if divergence(t, middle) > kl else (low, middle)
    return math.sqrt(low * high)


def log_mean_exp(values: np.ndarray) -> float:
    """ln mean exp, in a way that does not overflow."""
    most = values.max()
    return float(most + np.log(np.exp(values - most).mean()))


def order_weights(answers: int, n: int, kind: Kind) -> np.ndarray:
    """Probability of each rank, the lowest first, to be what `n` draws without replacement from `answers` are taken
    for: the best of them, the worst, or (plain) the only one. [answers]; without bias for the population.
    """
    if kind == "plain":
        return np.full(answers, 1.0 / answers)
    # P(the best of n is at rank <= i) = C(i, n) / C(answers, n)
    upto = np.array([math.comb(rank, n) for rank in range(answers + 1)], object)
    best = np.array([(b - a) / upto[-1] for a, b in pairwise(upto)], np.float64)
    return best if kind == "best" else best[::-1]


def wins(policy: np.ndarray, reference: np.ndarray, n: int, kind: Kind) -> float:
    """How often the policy's answer has the higher reward than the reference's, a tie counting half, where both are
    sampled in one way. Rewards of their answers to one prompt: at least `n` of each.
    """
    own, other = np.sort(policy), np.sort(reference)
    weights = order_weights(len(other), n, kind)
    below = np.concatenate([[0.0], np.cumsum(weights)])
    left, right = (below[np.searchsorted(other, own, side)] for side in ("left", "right"))
    return float(order_weights(len(own), n, kind) @ ((left + right) / 2))
