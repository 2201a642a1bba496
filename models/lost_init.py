"""How a LOST or low-rank layer starts: from the SVD of a dense weight, random or trained.

All of it runs on the CPU and is a function of (seed, name of the layer) or of the given weight, so every
process of any world computes the same factors and, above all, the same kept channels. Sources: Li et al. 2025
(arXiv 2508.02668), section 3; CoLA (arXiv 2502.10940) for `cola_factors`. The default draw is Gaussian, whose
residual columns differ by a few percent in norm: there the choice of channels says next to nothing, and
`select="random"` is the control to compare with. It means something when W comes from a trained model.

Letters: i input channels, o output channels, r rank, k kept channels, m the smaller of o and i.
"""

from __future__ import annotations

import hashlib
import math
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor


class LostSettings(Protocol):
    """What the start of a layer needs to know; `models.presets.Lost` says what each means."""

    @property
    def rank(self) -> int: ...
    @property
    def gamma(self) -> float: ...
    @property
    def select(self) -> str: ...
    @property
    def values(self) -> str: ...
    @property
    def sparse_svd_rank(self) -> int | None: ...
    @property
    def init(self) -> str: ...
    @property
    def scale(self) -> str: ...
    @property
    def init_std(self) -> float: ...
    def kept(self, width: int) -> int: ...


class Factors(NamedTuple):
    """What a layer holds, gamma not yet folded in."""

    A_ri: Tensor
    B_or: Tensor
    W_ok: Tensor
    I_k: Tensor


class Spectrum(NamedTuple):
    """Thin SVD `W = U diag(s) V^T`, s descending."""

    U_om: Tensor
    s_m: Tensor
    V_im: Tensor


def generator(seed: int, name: str) -> torch.Generator:
    """A CPU generator keyed by (seed, name): independent of process, world size and order of calls."""
    key = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(key[:8], "little") >> 1)


def draw(seed: int, name: str, out_width: int, in_width: int, std: float) -> Tensor:
    """The dense weight `[o, i]` fp32 ~ Normal(0, std) of a layer; the same for every kind of model of that
    seed.
    """
    return torch.randn(out_width, in_width, generator=generator(seed, name)) * std


def spectrum(W_oi: Tensor) -> Spectrum:
    """Thin SVD in fp64 through the eigenvectors of the smaller Gram matrix, 4-5 times faster than
    `linalg.svd`.

    Each pair (u, v) is turned so that the largest entry of v is positive: with an activation between the
    factors the sign matters, and libraries differ in it. Squaring costs half the digits of the *smallest*
    singular values, which the leading factors do not use.
    """
    W = W_oi.double()
    wide = W.shape[0] <= W.shape[1]
    values, vectors = torch.linalg.eigh(W @ W.T if wide else W.T @ W)
    s_m = values.flip(0).clamp_min(0.0).sqrt()
    near = vectors.flip(1)
    far = (W.T if wide else W) @ near / s_m.clamp_min(1e-7 * float(s_m[0]) + torch.finfo(W.dtype).tiny)
    U_om, V_im = (near, far) if wide else (far, near)
    sign_m = V_im.gather(0, V_im.abs().argmax(0, keepdim=True)).sign()
    return Spectrum(U_om * sign_m, s_m, V_im * sign_m)


def residual_scores(W_oi: Tensor, parts: Spectrum, config: LostSettings) -> Tensor:
    """Score of every input channel, fp64 `[i]`: norm of its column in the residual after `rank` directions.

    L2 norms come from `||R_j||^2 = ||W_j||^2 - sum_{m <= r} s_m^2 V_jm^2` without forming the residual R; L1
    norms form it.
    """
    _, s_m, V_im = parts
    rank, depth, width = config.rank, config.sparse_svd_rank, len(s_m)
    if config.select == "tail":
        used = slice(max(rank, width - (depth or width)), width)
    else:
        used = slice(rank, width if depth is None else min(width, rank + depth))
    if config.select == "l1":
        return residual(parts, used).abs().sum(0)
    if used == slice(rank, width):
        lost_i = V_im[:, :rank].square() @ s_m[:rank].square()
        return (W_oi.double().square().sum(0) - lost_i).clamp_min(0.0).sqrt()
    return (V_im[:, used].square() @ s_m[used].square()).sqrt()


def residual(parts: Spectrum, used: slice) -> Tensor:
    """`sum_{m in used} s_m u_m v_m^T`, fp64 `[o, i]`."""
    return (parts.U_om[:, used] * parts.s_m[used]) @ parts.V_im[:, used].T


def keep_channels(scores_i: Tensor, kept: int) -> Tensor:
    """The `kept` channels of highest score, int64 ascending; ties go to the lower channel."""
    return scores_i.sort(descending=True, stable=True).indices[:kept].sort().values


def lost_factors(W_oi: Tensor, config: LostSettings, seed: int, name: str) -> Factors:
    """Factors of a LOST layer from the dense weight `[o, i]`, fp64; gamma not folded in (`fold`)."""
    kept = config.kept(W_oi.shape[1])
    if config.init == "haar":
        A_ri, B_or = haar_factors(config, W_oi.shape[0], W_oi.shape[1], seed, name)
        I_k = random_channels(W_oi.shape[1], kept, seed, name)
        return Factors(A_ri, B_or, W_oi.double()[:, I_k], I_k)
    parts = spectrum(W_oi)
    A_ri, B_or = split(parts, config.rank)
    if config.select == "random":
        I_k = random_channels(W_oi.shape[1], kept, seed, name)
    else:
        I_k = keep_channels(residual_scores(W_oi, parts, config), kept)
    source_oi = W_oi.double() if config.values == "weight" else W_oi.double() - B_or @ A_ri
    return Factors(A_ri, B_or, source_oi[:, I_k], I_k)


def fold(factors: Factors, config: LostSettings) -> Factors:
    """Multiply gamma and 1 - gamma into B and W_s; `scale="exact"` starts from the unweighted sum instead."""
    if config.scale == "exact":
        return factors
    return factors._replace(B_or=factors.B_or * config.gamma, W_ok=factors.W_ok * (1.0 - config.gamma))


def split(parts: Spectrum, rank: int) -> tuple[Tensor, Tensor]:
    """`A = sqrt(S_r) V_r^T` `[r, i]` and `B = U_r sqrt(S_r)` `[o, r]`, fp64."""
    root_r = parts.s_m[:rank].sqrt()
    return root_r[:, None] * parts.V_im[:, :rank].T, parts.U_om[:, :rank] * root_r


def random_channels(width: int, kept: int, seed: int, name: str) -> Tensor:
    """`kept` channels drawn without replacement, int64 ascending."""
    return torch.randperm(width, generator=generator(seed, f"{name}:channels"))[:kept].sort().values


def haar_factors(config: LostSettings, out_width: int, in_width: int, seed: int, name: str) -> tuple[Tensor, Tensor]:
    """A, B with the law that `split` of a Gaussian weight has, without an SVD.

    For an i.i.d. Gaussian W the singular vectors are Haar and independent of the singular values, which
    follow Marchenko and Pastur's law: frames from a QR of Gaussians, values from the law's quantiles.
    """
    rank, smaller = config.rank, min(out_width, in_width)
    frames = []
    for side, width in (("left", out_width), ("right", in_width)):
        gauss = torch.randn(width, rank, generator=generator(seed, f"{name}:{side}"), dtype=torch.float64)
        q, r = torch.linalg.qr(gauss)
        frames.append(q * r.diagonal().sign())
    quantiles = 1.0 - (np.arange(rank) + 0.5) / smaller
    larger = max(out_width, in_width)
    s_r = torch.from_numpy(marchenko_pastur(smaller / larger, quantiles)).sqrt() * config.init_std * math.sqrt(larger)
    return s_r.sqrt()[:, None] * frames[1].T, frames[0] * s_r.sqrt()


def marchenko_pastur(ratio: float, quantiles: np.ndarray) -> np.ndarray:
    """Quantiles of the eigenvalues of `G G^T / larger`, G Gaussian `[smaller, larger]`, ratio = smaller /
    larger.

    Density `sqrt((b - x)(x - a)) / (2 pi ratio x)` on [a, b] = [(1 -+ sqrt ratio)^2], integrated on a grid in
    the angle, which removes the square-root ends.
    """
    a, b = (1.0 - math.sqrt(ratio)) ** 2, (1.0 + math.sqrt(ratio)) ** 2
    angle = (np.arange(20_000) + 0.5) * (math.pi / 20_000)
    x = (a + b) / 2 - (b - a) / 2 * np.cos(angle)
    mass = np.sin(angle) ** 2 / x
    return np.interp(quantiles, (np.cumsum(mass) - mass / 2) / mass.sum(), x)


def cola_factors(rank: int, out_width: int, in_width: int, seed: int, name: str) -> tuple[Tensor, Tensor]:
    """A, B ~ Normal with standard deviation `rank^-1/4 (in + out)^-1/4`, as CoLA draws them."""
    std = (rank * (in_width + out_width)) ** -0.25
    A_ri = torch.randn(rank, in_width, generator=generator(seed, f"{name}:A"))
    B_or = torch.randn(out_width, rank, generator=generator(seed, f"{name}:B"))
    return A_ri * std, B_or * std
