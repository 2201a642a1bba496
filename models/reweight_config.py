"""How the samples of a global batch are weighted: the slot, and its values; the arithmetic is `models.reweight`.

A new one is a file with a class of `LossShaped`, whose one method is the shape f, and a line in `models.REWEIGHTS`.

Dynamic loss-based reweighting of Sow et al., ICLR 2025 (arXiv 2502.06733), sections 3 and 4. With h the loss
of a sample, scaled so that the global batch spans [-1, 1], and f the shape below, a sample's weight is
proportional to `exp(f(h) / r)`. The largest ratio of two weights is `exp(1 / r)`; r to infinity is `Uniform`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from models.fields import Typed

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Reweight(metaclass=Typed):
    """Base of all weights: those that are even (`Uniform`), and those by the loss (`LossShaped`).

    - `by_tokens`: true = every token counts the same where nothing else decides, false = every sample
    """

    by_tokens: bool = True


@dataclass(frozen=True, kw_only=True)
class Uniform(Reweight):
    """Every token counts the same, or every sample does.

    - `by_tokens`: true = every token, false = every sample
    """


@dataclass(frozen=True, kw_only=True)
class LossShaped(Reweight):
    """Base of weights by the loss.

    - `r`: temperature, > 0. The authors use 1.0 at 124M parameters and 0.4 above.
    - `warmup`, `ramp`: shares of the run. Weights are uniform during `warmup`, then 1/r grows linearly over
      `ramp`.
    - `by_tokens`: multiply by the number of tokens, so that r to infinity is the token mean; no effect on
      full rows.
    - `scope`: the samples that share a softmax, and whose extremes are h = -1 and 1. "global_lagged" is the whole
      batch under running bounds of earlier steps, which costs nothing with gradient accumulation; "global_exact"
      the whole batch under its own bounds (the paper), for a second forward; "micro" each micro-batch by itself,
      another algorithm, that of trainers which know no more at a time. It depends on `micro_batches`.
    - `unit`: what a sample is: a "row", as in the authors' code, each "document" in it (a cut one: its piece), or each
      "group" of the pieces of `pack_samples`. With the last two, `attend: document` keeps their losses apart.
    - `reference`: a column that `pack` carries, such as `ref_loss`; samples are then ranked by what their loss is
      above it (excess loss). null = by the loss.
    - `decay`: of the running bounds, per step.
    - `robust`: bounds are the 5 % and 95 % quantiles instead of the extremes, so that one noisy sample cannot
      set them.
    """

    r: float = 1.0
    warmup: float = 0.05
    ramp: float = 0.05
    scope: Literal["micro", "global_exact", "global_lagged"] = "global_lagged"
    unit: Literal["row", "document", "group"] = "row"
    reference: str | None = None
    decay: float = 0.9
    robust: bool = False

    def __post_init__(self) -> None:
        if not self.r > 0.0:
            raise ValueError(f"r: found {self.r!r}, expected a number above 0")
        if self.warmup < 0.0 or self.ramp < 0.0 or self.warmup + self.ramp > 1.0:
            raise ValueError(f"warmup, ramp: found {self.warmup!r}, {self.ramp!r}, expected shares of the run")
        if not 0.0 <= self.decay < 1.0:
            raise ValueError(f"decay: found {self.decay!r}, expected a number from 0 to below 1")
        scopes, units = ("micro", "global_exact", "global_lagged"), ("row", "document", "group")
        for name, values in (("scope", scopes), ("unit", units)):
            if getattr(self, name) not in values:
                raise ValueError(f"{name}: found {getattr(self, name)!r}, expected {' or '.join(values)}")

    @property
    def reads(self) -> tuple[str, ...]:
        """Carried columns that the rows must hold."""
        return () if self.reference is None else (self.reference,)

    def shape(self, h_m: Tensor) -> Tensor:
        """f(h), at most 1, for h in [-1, 1]."""
        raise NotImplementedError(f"{type(self).__name__}.shape")


@dataclass(frozen=True, kw_only=True)
class LinUpper(LossShaped):
    """f = min(h + 1, 1): 0 at the lowest loss, rising linearly, 1 for every loss above mid-range. The paper's
    best.
    """

    def shape(self, h_m: Tensor) -> Tensor:
        return (h_m + 1.0).clamp_max(1.0)


@dataclass(frozen=True, kw_only=True)
class Quadratic(LossShaped):
    """f = 1 - h^2: favours losses in the middle."""

    def shape(self, h_m: Tensor) -> Tensor:
        return 1.0 - h_m.square()


@dataclass(frozen=True, kw_only=True)
class Extremes(LossShaped):
    """f = |h|: favours both ends. The paper's deliberate bad case; a control."""

    def shape(self, h_m: Tensor) -> Tensor:
        return h_m.abs()


@dataclass(frozen=True, kw_only=True)
class KlDro(LossShaped):
    """f = h: the exponential of the loss, KL-regularised robust optimisation. A control: it learns from noise most of
    all. The authors' README calls it "uniform".
    """

    def shape(self, h_m: Tensor) -> Tensor:
        return h_m
