"""The control that is neither dense nor LOST: SLTrain's low-rank plus random entries.

The low-rank and CoLA layers are `LostLinear` without kept channels, and LOST's own controls (random channels,
L1, residual values) are options of `Lost`: one code path, so that a comparison differs in the named thing
only. Source: Han et al. 2024 (arXiv 2406.02214). The rebuilt matrix per forward is the method's own cost,
kept as it is.

Letters: i input channels, o output channels, r rank, z kept entries.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.lost_init import generator
from models.projection import ProjectionModule, check_ascending


class SLTrainLinear(ProjectionModule):
    """`[..., in] -> [..., out]`, weight `alpha / rank B A` plus `values` at the flat positions `support`
    (int64).
    """

    support: Tensor

    def __init__(self, in_width: int, out_width: int, *, rank: int, kept: int, alpha: float) -> None:
        super().__init__()
        self.in_width, self.out_width, self.rank, self.kept = in_width, out_width, rank, kept
        self.scale = alpha / rank
        self.A = nn.Parameter(torch.empty(rank, in_width))
        self.B = nn.Parameter(torch.empty(out_width, rank))
        self.values = nn.Parameter(torch.empty(kept))
        self.register_buffer("support", torch.arange(kept))

    def dense(self) -> Tensor:
        """The weight `[o, i]`, differentiable."""
        low_oi = self.scale * (self.B @ self.A)
        return low_oi.flatten().index_add(0, self.support, self.values.to(low_oi.dtype)).view_as(low_oi)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.dense())

    def merge(self) -> Tensor:
        """The dense weight `[o, i]`, detached."""
        return self.dense().detach()

    def check_indices(self) -> None:
        check_ascending("support", self.support, self.in_width * self.out_width)


def start(o: int, i: int, rank: int, kept: int, seed: int, name: str) -> dict[str, Tensor]:
    """SLTrain's start: A Kaiming-uniform, B zero, values uniform within 1/sqrt(in), support random."""
    bound = 1.0 / math.sqrt(i)
    places = torch.randperm(o * i, generator=generator(seed, f"{name}:support"))
    return {
        "A": torch.empty(rank, i).uniform_(-bound, bound, generator=generator(seed, f"{name}:A")),
        "B": torch.zeros(o, rank),
        "values": torch.empty(kept).uniform_(-bound, bound, generator=generator(seed, f"{name}:values")),
        "support": places[:kept].sort().values,
    }
