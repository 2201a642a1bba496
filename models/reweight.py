"""Weights of the samples of a global batch, from their losses (Sow et al., ICLR 2025, arXiv 2502.06733).

With ell the mean loss of a sample, n its tokens, q a prior and h = ell scaled to [-1, 1] between two bounds:

    g_i = q_i n_i^a exp((f(h_i) - 1) / r)      w_i = g_i / sum_j g_j      loss = sum_i w_i ell_i

The sum runs over ALL samples of the step, on every process and in every micro-batch: a softmax per process or
per micro-batch is another algorithm. So this module works on the gathered vectors, or (the lagged form) gives
g alone, which needs only bounds known beforehand: accumulate the gradient of `sum g_i ell_i`, add up g,
divide once. `micro_weights` is that other algorithm, for whom it is asked.

Weights are ratios, so g is given over the highest prior of the whole batch (`highest`): whatever number is added to
every log q cancels, and none is too large. A log q of -inf is weight 0.

Everything here is detached and fp64, and a pure function of its arguments. Not taken over from the authors'
code: "uniform" as exp(h / r) (`KlDro` is that), slices by local rank, and weights from local token counts. To
reweight by excess loss over a reference model, pass `ell - reference` as the score.

Letters: m samples of the global batch.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from models.reweight_config import LossShaped, Reweight

# the smallest range of losses that is stretched to [-1, 1], in nats (the authors' floor)
SMALLEST_RANGE = 1e-6


class Bounds(NamedTuple):
    """The two losses [nats] that become h = -1 and h = 1. The whole state of the lagged form."""

    low: float
    high: float


class Spread(NamedTuple):
    """How uneven a step's weights are: effective samples / samples, and the extremes of weights over uniform ones."""

    effective: float
    largest: float
    smallest: float


def inverse_temperature(config: Reweight, step: int, steps: int) -> float:
    """1/r at `step` of `steps`: 0 during the warm-up, then a linear ramp to its final value."""
    if not isinstance(config, LossShaped):
        return 0.0
    since = step - config.warmup * steps
    if since < 0:
        return 0.0
    ramp = config.ramp * steps
    return (1.0 if since >= ramp else since / ramp) / config.r


@torch.no_grad()
def batch_bounds(config: Reweight, score_m: Tensor, tokens_m: Tensor) -> Bounds:
    """Bounds of one global batch: the extremes of the samples that have tokens, or their 5 % and 95 %
    quantiles.
    """
    scores = score_m[tokens_m > 0].double()
    if not len(scores):
        return Bounds(0.0, 0.0)
    if isinstance(config, LossShaped) and config.robust:
        low, high = scores.quantile(scores.new_tensor([0.05, 0.95])).tolist()
        return Bounds(low, high)
    return Bounds(scores.min().item(), scores.max().item())


def next_bounds(config: Reweight, previous: Bounds | None, current: Bounds) -> Bounds:
    """Running bounds after a step: an exponential average that starts at the first batch's."""
    if previous is None or not isinstance(config, LossShaped):
        return current
    keep = config.decay
    return Bounds(*(keep * old + (1.0 - keep) * new for old, new in zip(previous, current, strict=True)))


@torch.no_grad()
def highest_prior(tokens_m: Tensor, log_prior_m: Tensor | None) -> float:
    """The largest log q of the samples that have tokens; -inf where there is none."""
    if log_prior_m is None:
        return 0.0
    priors = log_prior_m[tokens_m > 0]
    return priors.max().item() if len(priors) else -math.inf


@torch.no_grad()
def raw_weights(
    config: Reweight,
    score_m: Tensor,
    tokens_m: Tensor,
    log_prior_m: Tensor | None = None,
    *,
    step: int,
    steps: int,
    bounds: Bounds | None,
    highest: float = 0.0,
) -> Tensor:
    """g, fp64 `[m]`, for any subset of the batch's samples; 0 for a sample without tokens.

    `score_m`: mean loss per sample [nats]; it may be NaN where there are no tokens. `bounds` None (no step
    seen yet) weighs uniformly. `log_prior_m`: log q; `highest`: the largest of the whole batch, that all of it is given
    over. Losses outside the bounds count as at the bounds.
    """
    valid_m = tokens_m > 0
    g_m = tokens_m.double() if config.by_tokens else valid_m.double()
    if log_prior_m is not None:
        over = highest if math.isfinite(highest) else 0.0  # no sample has a weight
        g_m = g_m * (log_prior_m.double() - over).where(valid_m, 0.0).exp()
    beta = inverse_temperature(config, step, steps)
    if beta and bounds is not None and isinstance(config, LossShaped):
        score_m = score_m.double().where(valid_m, bounds.low)
        h_m = 2.0 * (score_m - bounds.low) / max(bounds.high - bounds.low, SMALLEST_RANGE) - 1.0
        g_m = g_m * ((config.shape(h_m.clamp(-1.0, 1.0)) - 1.0) * beta).exp()
    return g_m


@torch.no_grad()
def micro_weights(
    config: Reweight,
    score_m: Tensor,
    tokens_m: Tensor,
    log_prior_m: Tensor | None = None,
    *,
    step: int,
    steps: int,
    highest: float = 0.0,
) -> Tensor:
    """g of one micro-batch by itself, fp64 `[m]`: its own bounds and its own softmax, whose sum is the uniform one."""
    g_m, uniform_m = (
        raw_weights(config, score_m, tokens_m, log_prior_m, step=step, steps=steps, bounds=bounds, highest=highest)
        for bounds in (batch_bounds(config, score_m, tokens_m), None)
    )
    return g_m * (uniform_m.sum() / g_m.sum().clamp_min(torch.finfo(torch.float64).tiny))


@torch.no_grad()
def weights(
    config: Reweight,
    score_m: Tensor,
    tokens_m: Tensor,
    log_prior_m: Tensor | None = None,
    *,
    step: int,
    steps: int,
    bounds: Bounds | None = None,
) -> Tensor:
    """w, fp64 `[m]`, sum 1, over all samples of the global batch; by the batch's own bounds unless some are
    given.
    """
    if bounds is None:
        bounds = batch_bounds(config, score_m, tokens_m)
    highest = highest_prior(tokens_m, log_prior_m)
    g_m = raw_weights(config, score_m, tokens_m, log_prior_m, step=step, steps=steps, bounds=bounds, highest=highest)
    return g_m / g_m.sum().clamp_min(torch.finfo(torch.float64).tiny)


@torch.no_grad()
def spread(w_m: Tensor, uniform_m: Tensor) -> Spread:
    """Diagnostics of normalised or raw weights against uniform ones, over the samples that count in plain training: one
    of weight 0 among them is lost, and one that holds all weight is one effective sample.

    `uniform_m`: what each sample weighs in plain training, its tokens or 1, and 0 without tokens; so plain training is
    1, 1, 1 however full rows are. An effective share below one half says that r is too small for the batch.
    """
    w, uniform = w_m[uniform_m > 0].double(), uniform_m[uniform_m > 0].double()
    if float(w.sum()) == 0.0:
        return Spread(0.0, 0.0, 0.0)
    uniform = uniform / uniform.sum()
    share = w / w.sum() / uniform
    return Spread(1.0 / (share.square() * uniform).sum().item(), share.max().item(), share.min().item())
