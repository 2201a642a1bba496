"""How LOST layers start: identities of the SVD, the choice of channels, exact starts from dense weights,
limits.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from models.build import build
from models.lost import LostLinear
from models.lost_init import (
    draw,
    fold,
    haar_factors,
    keep_channels,
    lost_factors,
    residual,
    residual_scores,
    spectrum,
    split,
)
from models.presets import Llama, Lost, LowRank

CASES = [(40, 96), (96, 40), (64, 64)]


@pytest.mark.parametrize(("out_width", "in_width"), CASES)
def test_factors_are_even_halves_of_the_leading_triplets(out_width, in_width) -> None:
    W = draw(0, "w", out_width, in_width, 0.02)
    exact = torch.linalg.svdvals(W.double())
    A, B = split(spectrum(W), 12)
    torch.testing.assert_close(A @ A.T, exact[:12].diag(), rtol=0, atol=1e-10)
    torch.testing.assert_close(B.T @ B, exact[:12].diag(), rtol=0, atol=1e-10)
    assert (W.double() - B @ A).square().sum().item() == pytest.approx(exact[12:].square().sum().item(), rel=1e-10)


@pytest.mark.parametrize(("out_width", "in_width"), CASES)
@pytest.mark.parametrize("select", ["l2", "l1"])
@pytest.mark.parametrize("depth", [None, 9])
def test_channels_are_those_of_the_largest_residual_columns(out_width, in_width, select, depth) -> None:
    W = draw(1, "w", out_width, in_width, 0.02)
    config = Lost("1m", rank=12, density=0.2, select=select, sparse_svd_rank=depth)
    U, s, Vh = torch.linalg.svd(W.double(), full_matrices=False)
    used = slice(12, None if depth is None else 12 + depth)
    formed = (U[:, used] * s[used]) @ Vh[used]
    norms = formed.norm(dim=0) if select == "l2" else formed.abs().sum(0)
    torch.testing.assert_close(residual_scores(W, spectrum(W), config), norms, rtol=1e-8, atol=0)
    kept = config.kept(in_width)
    channels = lost_factors(W, config, 0, "w").I_k
    assert channels.dtype == torch.int64
    assert channels.tolist() == sorted(norms.topk(kept).indices.tolist())
    assert torch.equal(channels, lost_factors(W.double(), config, 7, "other").I_k), "the weight alone decides"


def test_tail_scores_by_the_smallest_directions() -> None:
    W = draw(1, "w", 40, 96, 0.02)
    config = Lost("1m", rank=12, density=0.2, select="tail", sparse_svd_rank=5)
    U, s, Vh = torch.linalg.svd(W.double(), full_matrices=False)
    formed = (U[:, -5:] * s[-5:]) @ Vh[-5:]
    torch.testing.assert_close(residual_scores(W, spectrum(W), config), formed.norm(dim=0), rtol=1e-6, atol=0)


def test_ties_go_to_the_lower_channel() -> None:
    assert keep_channels(torch.tensor([1.0, 2.0, 2.0, 2.0, 0.5]), 2).tolist() == [1, 2]


def test_kept_values_come_from_the_weight_or_from_its_residual() -> None:
    W = draw(2, "w", 40, 96, 0.02).double()
    factors = lost_factors(W, Lost("1m", rank=12, density=0.2), 0, "w")
    assert torch.equal(factors.W_ok, W[:, factors.I_k])
    rest = lost_factors(W, Lost("1m", rank=12, density=0.2, values="residual"), 0, "w")
    torch.testing.assert_close(rest.W_ok, residual(spectrum(W), slice(12, None))[:, rest.I_k], rtol=0, atol=1e-12)


def test_a_weight_of_lower_rank_than_asked_leaves_finite_factors() -> None:
    thin = draw(0, "a", 40, 3, 1.0).double() @ draw(0, "b", 3, 96, 1.0).double()
    A, B = split(spectrum(thin), 12)
    torch.testing.assert_close(B @ A, thin, rtol=0, atol=1e-6)


def test_exact_start_misses_only_the_channels_not_kept() -> None:
    W = draw(3, "w", 40, 96, 0.02).double() @ torch.diag(torch.linspace(0.1, 3.0, 96, dtype=torch.float64))
    config = Lost("1m", rank=12, density=0.3, activation="none", values="residual", scale="exact")
    A, B, W_s, channels = fold(lost_factors(W, config, 0, "w"), config)
    effective = (B @ A).index_add(1, channels, W_s)
    rest = residual(spectrum(W), slice(12, None))
    rest[:, channels] = 0.0
    assert (effective - W).norm().item() == pytest.approx(rest.norm().item(), rel=1e-5)
    assert (effective - W).norm() < (B @ A - W).norm()


def mapped(config: Lost, x: torch.Tensor) -> torch.Tensor:
    """Output of one layer of that configuration, in fp64."""
    W = draw(4, "w", 40, 96, 0.02)
    A, B, W_s, channels = fold(lost_factors(W, config, 0, "w"), config)
    made = LostLinear(
        96, 40, rank=config.rank, kept=config.kept(96), gamma=config.gamma, activation=config.activation
    ).double()
    with torch.no_grad():
        made.A.copy_(A)
        made.B.copy_(B)
        if made.W_s is not None:
            made.W_s.copy_(W_s)
            made.I.copy_(channels)
    return made(x)


def test_limits_of_density_and_gamma() -> None:
    W = draw(4, "w", 40, 96, 0.02).double()
    x = torch.randn(7, 96, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    A, B = split(spectrum(W), 12)
    low = F.silu(x @ A.T) @ B.T
    kept = lost_factors(W, Lost("1m", rank=12, density=0.2), 0, "w").I_k
    columns = x[:, kept] @ W[:, kept].T
    limits = {
        Lost("1m", rank=12, density=0.0, gamma=0.7): 0.7 * low,
        Lost("1m", rank=12, density=0.2, gamma=1.0): low,
        Lost("1m", rank=12, density=0.2, gamma=0.0): columns,
        Lost("1m", rank=12, density=1.0, gamma=0.0): x @ W.T,
        Lost("1m", rank=12, density=0.2, gamma=0.7): 0.7 * low + 0.3 * columns,
    }
    for config, expected in limits.items():
        torch.testing.assert_close(mapped(config, x), expected, rtol=0, atol=1e-6)


def test_haar_start_follows_the_law_of_the_svd_start() -> None:
    config = Lost("60m", rank=128, density=0.01, init="haar", select="random")
    W = draw(0, "w", 512, 1376, config.init_std)
    exact = torch.linalg.svdvals(W)[:128].double()
    A, B = haar_factors(config, 512, 1376, 0, "w")
    # the product of the halves' norms is the singular value
    values = A.norm(dim=1) * B.norm(dim=0)
    assert ((values - exact) / exact).abs().max() < 0.01
    energy = values.square().sum() / W.double().square().sum()
    assert energy.item() == pytest.approx((exact.square().sum() / W.double().square().sum()).item(), rel=0.005)


def test_models_of_one_seed_share_their_draws_whatever_the_process_random_state() -> None:
    torch.manual_seed(1)
    dense = build(Llama("1m", layers=2), 64, 32, seed=5).state_dict()
    torch.manual_seed(2)
    lost = build(Lost("1m", layers=2, rank=8, density=0.1), 64, 32, seed=5).state_dict()
    low = build(LowRank("1m", layers=2, rank=8), 64, 32, seed=5).state_dict()
    for name in ("embed_tokens.weight", "lm_head.weight", "norm.weight"):
        assert torch.equal(dense[name], lost[name])
    place = "layers.1.mlp.down_proj"
    torch.testing.assert_close(
        lost[f"{place}.W_s"], 0.3 * dense[f"{place}.weight"][:, lost[f"{place}.I"]], rtol=1e-6, atol=0
    )
    torch.testing.assert_close(lost[f"{place}.B"], 0.7 * low[f"{place}.B"], rtol=1e-6, atol=0)
    other = build(Llama("1m", layers=2), 64, 32, seed=6).state_dict()
    assert not torch.equal(dense[f"{place}.weight"], other[f"{place}.weight"])
    assert not torch.equal(dense["layers.0.mlp.down_proj.weight"], dense[f"{place}.weight"])


def test_random_channels_differ_by_layer_and_repeat_by_seed() -> None:
    config = Lost("1m", layers=2, rank=8, density=0.1, select="random")
    first, again = (build(config, 64, 32, seed=5).state_dict() for _ in range(2))
    channels = {name: first[name].tolist() for name in first if name.endswith(".I")}
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert len({tuple(value) for value in channels.values()}) == len(channels)
    assert all(value == sorted(set(value)) for value in channels.values())
