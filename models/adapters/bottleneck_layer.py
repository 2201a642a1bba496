"""The module of a bottleneck adapter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.llama import LlamaModel
from models.lost_init import generator


class WithBottleneck(nn.Module):
    """A half of a block with a bottleneck behind it, or beside it."""

    def __init__(self, base_layer: nn.Module, hidden: int, width: int, *, parallel: bool) -> None:
        super().__init__()
        self.base_layer, self.parallel = base_layer, parallel
        self.down, self.up = nn.Linear(hidden, width), nn.Linear(width, hidden)

    def forward(self, x_btd: Tensor, *others: Any) -> Tensor:
        y_btd = self.base_layer(x_btd, *others)
        return y_btd + self.up(F.silu(self.down(x_btd if self.parallel else y_btd)))


@torch.no_grad()
def put_in(model: LlamaModel, width: int, halves: Sequence[str], *, parallel: bool, seed: int | None) -> None:
    """Put a bottleneck into halves of every block. Of D the weights are drawn, all else begins at zero."""
    hidden, device = model.config.shape.hidden, "meta" if seed is None else "cpu"
    for layer, block in enumerate(model.layers):
        for half in halves:
            with torch.device("meta"):
                inner = WithBottleneck(nn.Identity(), hidden, width, parallel=parallel)
            inner.to_empty(device=device)
            inner.base_layer = getattr(block, half)
            setattr(block, half, inner)
            if seed is None:
                continue
            for tensor in (inner.down.bias, inner.up.weight, inner.up.bias):
                tensor.zero_()
            of = generator(seed, f"layers.{layer}.{half}.down.weight")
            inner.down.weight.uniform_(-(hidden**-0.5), hidden**-0.5, generator=of)
