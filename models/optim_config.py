"""AdamW and the course of the learning rate: frozen values, free of torch.

The arithmetic is in `models.optim` and `models.schedules`. Shares are shares of the run's steps, so that a
recipe keeps its meaning when the number of steps changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.fields import Typed
from models.optimiser import Optimiser, both_moments

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class AdamW(Optimiser):
    """AdamW (Loshchilov and Hutter 2019), decay off for vectors, fused kernel."""

    def make(self, model: nn.Module) -> torch.optim.Optimizer:
        from models.optim import adamw, parameter_groups

        return adamw(parameter_groups(model, self), self)

    def numbers(self, shape: tuple[int, ...], *, is_map: bool) -> int:
        return both_moments(shape)


@dataclass(frozen=True, kw_only=True)
class Cosine(metaclass=Typed):
    """Linear warm-up over `warmup` of the run, then half a cosine down to `final` of the peak.

    - `warmup`: share of the run
    - `final`: share of the peak at the end
    """

    warmup: float = 0.1
    final: float = 0.1

    def __post_init__(self) -> None:
        check_shares(self.warmup, 0.0, self.final)


@dataclass(frozen=True, kw_only=True)
class WSD(metaclass=Typed):
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
class Linear(metaclass=Typed):
    """Linear warm-up over `warmup` of the run, then linear down to `final` of the peak.

    - `warmup`: share of the run
    - `final`: share of the peak at the end
    """

    warmup: float = 0.1
    final: float = 0.0

    def __post_init__(self) -> None:
        check_shares(self.warmup, 0.0, self.final)


@dataclass(frozen=True, kw_only=True)
class Constant(metaclass=Typed):
    """Linear warm-up over `warmup` of the run, then the peak to its end.

    - `warmup`: share of the run
    """

    warmup: float = 0.0

    def __post_init__(self) -> None:
        check_shares(self.warmup, 0.0, 1.0)


LearningRateSchedule = Cosine | WSD | Linear | Constant


def check_shares(warmup: float, decay: float, final: float) -> None:
    """Raises ValueError unless the phases fit into the run and the final factor lies in [0, 1]."""
    if warmup < 0.0 or decay < 0.0 or warmup + decay > 1.0:
        raise ValueError(f"warmup, decay: found {warmup!r}, {decay!r}, expected shares that fit into the run")
    if not 0.0 <= final <= 1.0:
        raise ValueError(f"final: found {final!r}, expected a share of the peak from 0 to 1")
