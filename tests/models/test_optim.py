"""Folded gamma against gamma in the forward under AdamW, groups, clipping, and the schedules as pure
functions.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from models.build import build
from models.lost import LostLinear
from models.optim import clip_gradients, parameter_groups, set_learning_rate
from models.optim_config import WSD, AdamW, Cosine, Linear
from models.presets import Llama, Lost
from models.schedules import learning_rate_factor
from models.sltrain_config import SLTrain
from tests.models.calls import losses

SCHEDULES = [Cosine(), WSD(), Linear(), Cosine(warmup=0.0, final=0.0), WSD(warmup=0.0, decay=1.0)]


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_folded_gamma_follows_the_trajectory_of_gamma_in_the_forward(weight_decay) -> None:
    gamma, generator = 0.7, torch.Generator().manual_seed(0)
    folded = LostLinear(12, 10, rank=3, kept=2, gamma=gamma, activation="silu").double()
    with torch.no_grad():
        for parameter in folded.parameters():
            parameter.normal_(generator=generator)
        folded.I.copy_(torch.tensor([1, 7]))
    A = folded.A.detach().clone().requires_grad_()
    B = (folded.B.detach() / gamma).requires_grad_()
    W_s = (folded.W_s.detach() / (1 - gamma)).requires_grad_()
    settings = AdamW(lr=1e-2, eps=1e-30, weight_decay=weight_decay, clip=0.0)
    ours = settings.make(folded)
    theirs = torch.optim.AdamW([A, B, W_s], lr=1e-2, betas=settings.betas, eps=1e-30, weight_decay=weight_decay)
    for _ in range(100):
        x = torch.randn(8, 12, generator=generator, dtype=torch.float64)
        target = torch.randn(8, 10, generator=generator, dtype=torch.float64)
        F.mse_loss(folded(x), target).backward()
        plain = gamma * F.silu(x @ A.T) @ B.T + (1 - gamma) * x[:, folded.I] @ W_s.T
        F.mse_loss(plain, target).backward()
        for optimiser in (ours, theirs):
            optimiser.step()
            optimiser.zero_grad()
    torch.testing.assert_close(folded.A, A, rtol=0, atol=1e-10)
    torch.testing.assert_close(folded.B, gamma * B, rtol=0, atol=1e-10)
    torch.testing.assert_close(folded.W_s, (1 - gamma) * W_s, rtol=0, atol=1e-10)


def test_groups_hold_every_parameter_once_and_decay_matrices_only() -> None:
    model = build(Lost("1m", layers=2, rank=8, density=0.1, gamma=0.75), 64, 32, seed=0)
    groups = parameter_groups(model, AdamW(lr=2.0, weight_decay=0.12))
    held = [id(p) for group in groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in model.parameters())
    by_parameter = {id(p): group for group in groups for p in group["params"]}
    layer = model.layers[1].mlp.down_proj
    expected = {
        layer.A: (2.0, 0.12),
        layer.B: (1.5, 0.16),
        layer.W_s: (0.5, 0.48),
        model.norm.weight: (2.0, 0.0),
        model.lm_head.weight: (2.0, 0.12),
    }
    for parameter, (lr, decay) in expected.items():
        group = by_parameter[id(parameter)]
        assert (group["lr"], group["weight_decay"]) == pytest.approx((lr, decay))
    optimiser = AdamW(lr=2.0).make(model)
    set_learning_rate(optimiser, 1.0)
    assert [group["lr"] for group in optimiser.param_groups] == [0.25, 0.75, 1.0, 1.0]


def test_all_of_sltrains_projections_decay_as_the_other_kinds_do() -> None:
    model = build(SLTrain("1m", layers=1, rank=8, density=0.1), 64, 32, seed=0)
    groups = parameter_groups(model, AdamW(weight_decay=0.12))
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    layer = model.layers[0].self_attn.q_proj
    assert decays[id(layer.values)] == decays[id(layer.A)] == 0.12


def test_a_parameter_that_is_not_trained_has_no_group_no_decay_and_no_state() -> None:
    model = build(Llama("1m", layers=1), 64, 32, seed=0)
    frozen = model.lm_head.weight.requires_grad_(False)
    before = frozen.clone()
    optimiser = AdamW(lr=1.0).make(model)
    batch = torch.arange(40).view(2, 20)
    losses(model, batch[:, :-1], batch[:, 1:]).mean().backward()
    optimiser.step()
    assert frozen.grad is None
    assert torch.equal(frozen, before)
    assert frozen not in optimiser.state
    assert len(optimiser.state) == sum(1 for _ in model.parameters()) - 1


def test_gamma_one_freezes_the_kept_columns_as_the_unfolded_form_does() -> None:
    model = build(Lost("1m", layers=1, rank=8, density=0.1, gamma=1.0), 64, 32, seed=0)
    optimiser = AdamW().make(model)
    batch = torch.arange(40).view(2, 20)
    losses(model, batch[:, :-1], batch[:, 1:]).mean().backward()
    optimiser.step()
    assert model.layers[0].mlp.up_proj.W_s.count_nonzero() == 0


@pytest.mark.parametrize("limit", [0.5, 1e9, 0.0])
def test_clipping_scales_the_global_norm(limit) -> None:
    model = build(Llama("1m", layers=1), 64, 32, seed=0)
    batch = torch.arange(40).view(2, 20)
    losses(model, batch[:, :-1], batch[:, 1:]).sum().backward()
    before = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
    assert clip_gradients(model.parameters(), limit).item() == pytest.approx(before.item(), rel=1e-5)
    after = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
    assert after.item() == pytest.approx(min(before.item(), limit) if limit else before.item(), rel=1e-4)


@given(st.sampled_from(SCHEDULES), st.integers(1, 3000), st.data())
def test_schedules_are_pure_bounded_and_python_floats(schedule, steps, data) -> None:
    step = data.draw(st.integers(0, steps - 1))
    value = learning_rate_factor(schedule, step, steps)
    assert type(value) is float
    assert 0.0 <= value <= 1.0
    assert value == learning_rate_factor(schedule, step, steps)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedules_rise_to_the_peak_then_fall_to_their_end(schedule) -> None:
    steps = 1000
    values = [learning_rate_factor(schedule, step, steps) for step in range(steps)]
    peak = values.index(1.0)
    assert peak == max(0, round(schedule.warmup * steps) - 1)
    assert values[: peak + 1] == sorted(values[: peak + 1])
    assert values[peak:] == sorted(values[peak:], reverse=True)
    assert values[-1] == pytest.approx(schedule.final, abs=0.006)
    assert values[0] > 0.0


def test_the_plateau_of_wsd_is_flat_until_its_decay() -> None:
    values = [learning_rate_factor(WSD(warmup=0.1, decay=0.3), step, 100) for step in range(100)]
    assert set(values[9:71]) == {1.0}
    assert values[71] < 1.0


def test_a_step_outside_the_run_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 0 to 9"):
        learning_rate_factor(Cosine(), 10, 10)
