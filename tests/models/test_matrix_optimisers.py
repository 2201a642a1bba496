"""Muon and GaLore against their published formulas written out, their groups, their state, and what accounting says of
it.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.build import build
from models.galore import GaLore
from models.galore_step import directions
from models.muon import Muon
from models.optim import map_parameters, set_learning_rate
from models.optim_config import AdamW
from models.presets import Llama, Lost
from models.sltrain_config import SLTrain
from tests.models.calls import losses

SMALL = {"layers": 1, "hidden": 32, "inter": 48, "heads": 2}
KINDS = [
    Llama("1m", **SMALL),
    Lost("1m", rank=12, density=0.2, gamma=0.75, **SMALL),
    SLTrain("1m", rank=12, density=0.1, **SMALL),
]


def gradients(model: torch.nn.Module, seed: int) -> None:
    """Give every parameter a gradient of its own, as a backward would."""
    draw = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=draw)


def orthogonal(matrix: np.ndarray, rounds: int) -> np.ndarray:
    """Newton-Schulz's quintic in fp64, with Jordan's coefficients."""
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = wide / np.linalg.norm(wide)
    for _ in range(rounds):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x if matrix.shape[0] <= matrix.shape[1] else x.T


@pytest.mark.parametrize("scale", ["rms", "original"])
def test_a_step_of_muon_is_its_momentum_with_singular_values_near_one(scale) -> None:
    model = build(KINDS[0], 40, 16, seed=0)
    optimiser = Muon(lr=0.1, weight_decay=0.2, scale=scale).make(model)
    maps = {name: p for name, p in model.named_parameters() if id(p) in map_parameters(model)}
    expected = {name: p.detach().double().numpy().copy() for name, p in maps.items()}
    momentum = {name: np.zeros(p.shape) for name, p in maps.items()}
    assert len(maps) == 7
    for step in range(3):
        gradients(model, step)
        optimiser.step()
        for name, parameter in maps.items():
            grad = parameter.grad.double().numpy()
            # torch averages where Jordan adds up; the orthogonal factor is the same
            momentum[name] = 0.95 * momentum[name] + 0.05 * grad
            ahead = 0.05 * grad + 0.95 * momentum[name]
            rows, columns = parameter.shape
            size = 0.2 * max(rows, columns) ** 0.5 if scale == "rms" else max(1.0, rows / columns) ** 0.5
            expected[name] = expected[name] * (1 - 0.1 * 0.2) - 0.1 * size * orthogonal(ahead, 5)
    for name, parameter in maps.items():
        far = np.abs(parameter.detach().numpy() - expected[name]).max()
        assert far < 0.05 * 0.1 * 3, name  # the rounds run in bf16


@pytest.mark.parametrize("shape", [(20, 12), (12, 20)])
def test_galore_is_adam_in_the_directions_of_the_gradient(shape) -> None:
    rank, gap, lr, decay = 4, 3, 0.05, 0.1
    model = torch.nn.Sequential(torch.nn.Linear(shape[1], shape[0], bias=False)).double()
    (parameter,) = model.parameters()
    optimiser = GaLore(rank=rank, gap=gap, scale=0.25, lr=lr, weight_decay=decay).make(model)
    expected, m, v, p = parameter.detach().numpy().copy(), 0.0, 0.0, None
    draw = np.random.default_rng(0)
    for step in range(1, 8):
        grad = draw.normal(size=shape)
        parameter.grad = torch.from_numpy(grad)
        optimiser.step()
        flat = grad if shape[0] >= shape[1] else grad.T
        if (step - 1) % gap == 0:
            p = np.linalg.svd(flat)[2][:rank].T
            p = p * np.sign(p[np.abs(p).argmax(0), range(rank)])
        low = flat @ p
        m, v = 0.9 * m + 0.1 * low, 0.95 * v + 0.05 * low**2
        update = (m / (1 - 0.9**step) / (np.sqrt(v / (1 - 0.95**step)) + 1e-8)) @ p.T
        expected = expected * (1 - lr * decay) - lr * 0.25 * (update if shape[0] >= shape[1] else update.T)
        np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=0, atol=1e-10)


def test_directions_have_one_sign_whatever_the_sign_of_the_library() -> None:
    matrix = torch.randn(9, 6, generator=torch.Generator().manual_seed(0))
    found = directions(matrix, 3)
    assert torch.allclose(directions(-matrix, 3), found, atol=1e-6)
    assert torch.allclose(found.T @ found, torch.eye(3), atol=1e-6)


@pytest.mark.parametrize("model", KINDS, ids=lambda model: type(model).__name__)
@pytest.mark.parametrize("config", [AdamW(), Muon(), GaLore(rank=8), GaLore(rank=16)], ids=repr)
def test_what_an_optimiser_keeps_is_what_it_says(config, model) -> None:
    built = build(model, 40, 16, seed=0)
    optimiser, maps = config.make(built), map_parameters(built)
    gradients(built, 0)
    optimiser.step()
    held = 0
    for parameter in built.parameters():
        kept = sum(value.numel() for value in optimiser.state[parameter].values() if value.ndim)
        assert kept == config.numbers(tuple(parameter.shape), is_map=id(parameter) in maps), parameter.shape
        held += kept
    assert held > 0


@pytest.mark.parametrize("config", [Muon(lr=0.5, rest_lr=0.1), GaLore(rank=16, lr=0.5)], ids=repr)
def test_groups_hold_every_parameter_once_with_its_factor(config) -> None:
    model = build(KINDS[1], 40, 16, seed=0)
    optimiser = config.make(model)
    assert sorted(id(p) for g in optimiser.param_groups for p in g["params"]) == sorted(map(id, model.parameters()))
    set_learning_rate(optimiser, 1.0)
    rates = {id(p): g["lr"] for g in optimiser.param_groups for p in g["params"]}
    rest, layer = (0.2 if isinstance(config, Muon) else 1.0), model.layers[0].mlp.up_proj
    assert rates[id(layer.A)] == 1.0
    assert rates[id(layer.B)] == 0.75
    assert rates[id(layer.W_s)] == pytest.approx(0.25 * rest)
    assert rates[id(model.lm_head.weight)] == rates[id(model.norm.weight)] == pytest.approx(rest)
    before = layer.B.detach().clone()
    set_learning_rate(optimiser, 0.0)
    gradients(model, 0)
    optimiser.step()
    assert torch.equal(layer.B, before)


@pytest.mark.parametrize("config", [Muon(lr=5e-3), GaLore(rank=8, lr=1e-2, gap=5)], ids=repr)
def test_they_learn_and_leave_frozen_parameters_alone(config) -> None:
    model = build(KINDS[1], 40, 16, seed=0)
    frozen = model.layers[0].self_attn.q_proj.A.requires_grad_(False)
    before, optimiser = frozen.detach().clone(), config.make(model)
    ids = torch.arange(34).view(2, 17) % 7
    found = []
    for _ in range(30):
        optimiser.zero_grad()
        loss = losses(model, ids[:, :-1], ids[:, 1:]).mean()
        loss.backward()
        optimiser.step()
        found.append(loss.item())
    assert found[-1] < 0.6 * found[0]
    assert torch.equal(frozen, before)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Muon(momentum=1.0), "momentum: found 1.0"),
        (lambda: Muon(rounds=0), "rounds: found 0"),
        (lambda: Muon(rest_lr=0.0), "rest_lr: found 0.0"),
        (lambda: GaLore(rank=0), "rank: found 0"),
        (lambda: GaLore(rank=4, gap=0), "gap: found 0"),
        (lambda: GaLore(rank=4, scale=0.0), "scale: found 0.0"),
    ],
)
def test_a_setting_that_cannot_be_is_named(make, said) -> None:
    with pytest.raises(ValueError, match=said):
        make()
