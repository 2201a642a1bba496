"""The optimiser and the course of its learning rate: frozen values, free of torch.

The arithmetic is in `models.optim` and `models.schedules`. Shares are shares of the run's steps, so that a
recipe keeps its meaning when the number of steps changes.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class AdamW:
    """AdamW (Loshchilov and Hutter 2019), decay off for vectors, fused kernel.

    - `lr`: the peak of the learning rate
    - `betas`: decay of the means of gradients and of their squares
    - `eps`: added to the root of the squares' mean
    - `weight_decay`: of matrices, per step and learning rate
    - `clip`: the largest global gradient norm; 0 = no clipping
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 0.1
    clip: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", tuple(self.betas))
        if not self.lr > 0.0:
            raise ValueError(f"lr: found {self.lr!r}, expected a number above 0")
        if len(self.betas) != 2 or not all(0.0 <= beta < 1.0 for beta in self.betas):
            raise ValueError(f"betas: found {self.betas!r}, expected two numbers from 0 to below 1")
        if self.weight_decay < 0.0 or self.clip < 0.0 or not self.eps > 0.0:
            raise ValueError("weight_decay and clip must be at least 0, eps above 0")


@dataclass(frozen=True, kw_only=True)
class Cosine:
    """Linear warm-up over `warmup` of the run, then half a cosine down to `final` of the peak.

    - `warmup`: share of the run
    - `final`: share of the peak at the end
    """

    warmup: float = 0.1
    final: float = 0.1

    def __post_init__(self) -> None:
        check_shares(self.warmup, 0.0, self.final)


@dataclass(frozen=True, kw_only=True)
class WSD:
    """Warm-up, stable, decay (Hu et al. 2024): a plateau, then linear over the last `decay` of the run.

    - `warmup`, `decay`: shares of the run
    - `final`: share of the peak at the end
    """

    warmup: float = 0.05
    decay: float = 0.2
    final: float = 0.0

    def __post_init__(self) -> None:
        check_shares(self.warmup, self.decay, self.final)


@dataclass(frozen=True, kw_only=True)
class Linear:
    """Linear warm-up over `warmup` of the run, then linear down to `final` of the peak.

    - `warmup`: share of the run
    - `final`: share of the peak at the end
    """

    warmup: float = 0.1
    final: float = 0.0

    def __post_init__(self) -> None:
        check_shares(self.warmup, 0.0, self.final)


LearningRateSchedule = Cosine | WSD | Linear


def check_shares(warmup: float, decay: float, final: float) -> None:
    """Raises ValueError unless the phases fit into the run and the final factor lies in [0, 1]."""
    if warmup < 0.0 or decay < 0.0 or warmup + decay > 1.0:
        raise ValueError(f"warmup, decay: found {warmup!r}, {decay!r}, expected shares that fit into the run")
    if not 0.0 <= final <= 1.0:
        raise ValueError(f"final: found {final!r}, expected a share of the peak from 0 to 1")
