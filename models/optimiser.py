"""What every optimiser is: the slot. A kind is a frozen value, free of torch, and one line in `models.OPTIMISERS`.

A projection of a block is a linear map; what optimisers of matrices (Muon, GaLore) treat in their own way are the maps
alone. Everything else, embedding, head, norms, kept columns and sparse entries, is AdamW's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from models.fields import Typed

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class Optimiser(metaclass=Typed):
    """The settings that all kinds share.

    - `lr`: the peak of the learning rate
    - `betas`: AdamW's decay of the means of gradients and of their squares
    - `eps`: added to the root of the squares' mean
    - `weight_decay`: of matrices, per step and learning rate
    - `clip`: the largest global gradient norm; 0 = no clipping
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 0.1
    clip: float = 1.0

    in_shards: ClassVar[bool] = True  # whether it works on the pieces of a tensor that FSDP2 leaves to a process

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", tuple(self.betas))
        if not self.lr > 0.0:
            raise ValueError(f"lr: found {self.lr!r}, expected a number above 0")
        if len(self.betas) != 2 or not all(0.0 <= beta < 1.0 for beta in self.betas):
            raise ValueError(f"betas: found {self.betas!r}, expected two numbers from 0 to below 1")
        if self.weight_decay < 0.0 or self.clip < 0.0 or not self.eps > 0.0:
            raise ValueError("weight_decay and clip must be at least 0, eps above 0")

    def make(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimiser of a model's trained parameters; each group holds its factor of the rate as `lr_factor`."""
        raise NotImplementedError(f"{type(self).__name__}.make")

    def numbers(self, shape: tuple[int, ...], *, is_map: bool) -> int:
        """Numbers that it keeps between steps for a tensor of this shape."""
        raise NotImplementedError(f"{type(self).__name__}.numbers")


def both_moments(shape: tuple[int, ...]) -> int:
    """Numbers of Adam's two moments of a tensor."""
    count = 2
    for axis in shape:
        count *= axis
    return count
