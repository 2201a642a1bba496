"""EMO against explicit sums, autograd, an optimal-transport solver, and the limits that the paper states."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from models.losses import IGNORE, LinearCrossEntropy
from models.objectives.emo import Emo
from models.objectives.emo_losses import SMALLEST, emo_losses, unit_rows

WIDTH, WORDS = 6, 11


def inputs(n: int = 40, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, WIDTH, generator=generator, dtype=torch.float64)
    head = torch.randn(WORDS, WIDTH, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, WORDS, (n,), generator=generator)
    labels[::7] = IGNORE
    cost = unit_rows(torch.randn(WORDS, 4, generator=generator, dtype=torch.float64)).double()
    return x.requires_grad_(), head.requires_grad_(), labels, cost


def by_autograd(x, head, labels, cost, config: Emo) -> torch.Tensor:
    """The paper's formulas, a dense one-hot and all, left to autograd."""
    valid = labels != IGNORE
    target = labels.where(valid, 0)
    q = (x @ head.T).softmax(-1)
    entropy = -q.gather(-1, target[:, None]).log().squeeze(-1)
    distance = (q * (1.0 - cost[target] @ cost.T)).sum(-1)
    shown = distance + (q.gather(-1, target[:, None]).squeeze(-1).detach() if config.target_in_cost else 0.0)
    if config.mode == 1:
        ratio = (entropy / shown.clamp_min(SMALLEST)).detach()
        ratio = ratio if config.clamp is None else ratio.clamp_max(config.clamp)
        loss = (entropy + ratio * shown) / 2
    else:
        loss = shown + (shown / entropy.clamp_min(SMALLEST)).detach() * entropy
    return torch.where(valid, (1 - config.share) * entropy + config.share * loss, 0.0)


@pytest.mark.parametrize(
    "config",
    [
        Emo(),
        Emo(clamp=None),
        Emo(mode=2),
        Emo(mode=1, target_in_cost=True),
        Emo(mode=2, target_in_cost=True),
        Emo(share=0.3),
    ],
    ids=repr,
)
def test_value_and_gradients_are_those_of_the_formulas(config: Emo) -> None:
    x, head, labels, cost = inputs(LinearCrossEntropy.BLOCK + 30)
    weights = torch.linspace(0.1, 2.0, len(x), dtype=torch.float64)
    found, entropy = emo_losses(x, head, labels, cost, config)
    expected = by_autograd(x, head, labels, cost, config)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(entropy, LinearCrossEntropy.apply(x, head, labels).detach(), rtol=1e-10, atol=1e-12)
    ours, theirs = (torch.autograd.grad((weights * loss).sum(), [x, head]) for loss in (found, expected))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


def test_values_are_the_entropy_in_mode_1_and_twice_the_distance_in_mode_2() -> None:
    x, head, labels, cost = inputs()
    one, entropy = emo_losses(x, head, labels, cost, Emo(mode=1, clamp=None))
    torch.testing.assert_close(one, entropy)
    two, _ = emo_losses(x, head, labels, cost, Emo(mode=2))
    torch.testing.assert_close(two, 2 * distances(x, head, labels, cost))


def distances(x, head, labels, cost) -> torch.Tensor:
    valid = labels != IGNORE
    costs = 1.0 - cost[labels.where(valid, 0)] @ cost.T
    return torch.where(valid, ((x @ head.T).softmax(-1) * costs).sum(-1), 0.0)


def test_the_distance_is_one_minus_q_for_orthonormal_costs_and_none_for_equal_ones() -> None:
    x, head, labels, _ = inputs()
    valid = labels != IGNORE
    q = (x @ head.T).softmax(-1).gather(-1, labels.where(valid, 0)[:, None]).squeeze(-1)
    orthonormal, _ = emo_losses(x, head, labels, torch.eye(WORDS, dtype=torch.float64), Emo(mode=2))
    torch.testing.assert_close(orthonormal, torch.where(valid, 2 * (1 - q), 0.0))
    equal, _ = emo_losses(x, head, labels, torch.ones(WORDS, 1, dtype=torch.float64), Emo(mode=2))
    assert equal.abs().max() < 1e-12


def test_the_distance_is_that_of_optimal_transport() -> None:
    _, _, _, cost = inputs(seed=3)
    cost = cost[:5]
    costs = (1.0 - cost @ cost.T).numpy()
    q = np.random.default_rng(1).dirichlet(np.ones(5))
    for target in range(5):
        p = np.eye(5)[target]
        sums = np.vstack([np.kron(np.eye(5), np.ones(5)), np.kron(np.ones(5), np.eye(5))])
        plan = linprog(costs.ravel(), A_eq=sums, b_eq=np.concatenate([q, p]))
        assert plan.fun == pytest.approx(q @ costs[:, target], abs=1e-9)


def test_of_two_wrong_tokens_of_equal_probability_the_nearer_one_is_pushed_down_less() -> None:
    cost = unit_rows(torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])).double()
    x = torch.eye(3, dtype=torch.float64)[:1] * 0.0  # equal logits
    head = torch.eye(3, dtype=torch.float64).requires_grad_()
    x.requires_grad_()
    loss, _ = emo_losses(torch.ones(1, 3, dtype=torch.float64) * 0.0 + x, head, torch.tensor([0]), cost, Emo(mode=2))
    (pushed,) = torch.autograd.grad(loss.sum(), [x])
    assert pushed[0, 1] < pushed[0, 2]


def test_share_0_is_plain_cross_entropy_to_the_bit() -> None:
    x, head, labels, cost = inputs()
    plain = LinearCrossEntropy.apply(x, head, labels)
    none, _ = emo_losses(x, head, labels, cost, Emo(share=0.0))
    assert torch.equal(none, plain)
    for one, other in zip(*(torch.autograd.grad(loss.sum(), [x, head]) for loss in (none, plain)), strict=True):
        assert torch.equal(one, other)


def test_a_zero_row_of_padded_vocabulary_gives_no_nan() -> None:
    x, head, labels, _ = inputs()
    rows = torch.randn(WORDS, 4, generator=torch.Generator().manual_seed(5))
    rows[-1] = 0.0
    for mode in (1, 2):
        loss, _ = emo_losses(x, head, labels, unit_rows(rows), Emo(mode=mode))
        (gradient,) = torch.autograd.grad(loss.sum(), [x])
        assert bool(loss.isfinite().all())
        assert bool(gradient.isfinite().all())


@pytest.mark.parametrize("wrong", [{"mode": 3}, {"share": 1.5}, {"clamp": 0.0}])
def test_a_field_out_of_range_is_named(wrong) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Emo(**wrong)
