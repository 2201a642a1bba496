"""GaLore as a value, free of torch: Adam's moments live in a subspace of each matrix's gradient.

Source: Zhao et al. 2024 (arXiv 2403.03507), algorithm 2, with the sides and the decoupled decay of its published code.
The arithmetic is in `models.galore_step`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from models.optimiser import Optimiser, both_moments

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class GaLore(Optimiser):
    """Adam in the first `rank` singular directions of the gradient for the maps of the blocks, AdamW for the rest.

    - `rank`: directions that are kept, of the smaller side; a map with no more of them is AdamW's
    - `gap`: steps between two SVDs of a gradient
    - `scale`: of the step of a map
    """

    rank: int
    gap: int = 200
    scale: float = 0.25

    in_shards: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in (("rank", self.rank), ("gap", self.gap)):
            if value < 1:
                raise ValueError(f"{name}: found {value!r}, expected at least 1")
        if not self.scale > 0.0:
            raise ValueError(f"scale: found {self.scale!r}, expected a number above 0")

    def make(self, model: nn.Module) -> torch.optim.Optimizer:
        from models.galore_step import ProjectedAdam
        from models.optim import adamw, joined, parameter_groups

        narrow = []
        maps = parameter_groups(model, self, maps=True)
        for group in maps:
            held = group["params"]
            small = [parameter for parameter in held if min(parameter.shape) <= self.rank]
            group["params"] = [parameter for parameter in held if min(parameter.shape) > self.rank]
            narrow += [{**group, "params": small}] if small else []
        wide = [group for group in maps if group["params"]]

        def projected(groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
            return ProjectedAdam(groups, betas=self.betas, eps=self.eps, rank=self.rank, gap=self.gap, scale=self.scale)

        rest = [*narrow, *parameter_groups(model, self, maps=False)]
        return joined((projected, wide), (lambda groups: adamw(groups, self), rest))

    def numbers(self, shape: tuple[int, ...], *, is_map: bool) -> int:
        if not is_map or min(shape) <= self.rank:
            return both_moments(shape)
        return self.rank * (2 * max(shape) + min(shape))
