"""Muon as a value, free of torch: the step of a matrix is its momentum with all singular values near 1.

Source: Jordan et al. 2024 (https://kellerjordan.github.io/posts/muon); the scale that lets it share AdamW's learning
rate is that of Liu et al. 2025 (arXiv 2502.16982), section 2.2. The arithmetic is `torch.optim.Muon`. LOST's maps are A
and B: no published result says that it helps thin factors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from models.optimiser import Optimiser, both_moments

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class Muon(Optimiser):
    """Muon for the maps of the blocks, AdamW for the rest.

    - `momentum`: decay of the sum of gradients of a map
    - `nesterov`: look one step of the momentum ahead
    - `rounds`: Newton-Schulz rounds, in bf16
    - `scale`: "rms" = steps as large as AdamW's, so that one `lr` serves both; "original" = by the root of rows over
      columns
    - `rest_lr`: peak of the learning rate of what AdamW trains; null = `lr`
    """

    momentum: float = 0.95
    nesterov: bool = True
    rounds: int = 5
    scale: Literal["rms", "original"] = "rms"
    rest_lr: float | None = None

    in_shards: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= self.momentum < 1.0:
            raise ValueError(f"momentum: found {self.momentum!r}, expected a number from 0 to below 1")
        if not 1 <= self.rounds < 100:
            raise ValueError(f"rounds: found {self.rounds!r}, expected 1 to 99")
        if self.scale not in ("rms", "original"):
            raise ValueError(f"scale: found {self.scale!r}, expected 'rms' or 'original'")
        if self.rest_lr is not None and not self.rest_lr > 0.0:
            raise ValueError(f"rest_lr: found {self.rest_lr!r}, expected a number above 0, or null")

    def make(self, model: nn.Module) -> torch.optim.Optimizer:
        import torch

        from models.optim import adamw, joined, parameter_groups

        rest = parameter_groups(model, self, maps=False)
        factor = 1.0 if self.rest_lr is None else self.rest_lr / self.lr
        for group in rest:
            group["lr"] *= factor
            group["lr_factor"] *= factor

        def muon(groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
            return torch.optim.Muon(
                groups,
                lr=self.lr,
                weight_decay=self.weight_decay,
                momentum=self.momentum,
                nesterov=self.nesterov,
                ns_steps=self.rounds,
                adjust_lr_fn="match_rms_adamw" if self.scale == "rms" else "original",
            )

        maps = parameter_groups(model, self, maps=True)
        return joined((muon, maps), (lambda groups: adamw(groups, self), rest))

    def numbers(self, shape: tuple[int, ...], *, is_map: bool) -> int:
        return both_moments(shape) // 2 if is_map else both_moments(shape)
