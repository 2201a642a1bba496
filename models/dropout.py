"""Dropout that is a function of keys: the same one in every process, after a kill, and in both passes of a step.

What a block's attention and its feed-forward part add to the residual path is left out with probability `share`, and
the rest divided by what is left (Srivastava et al. 2014). Two copies of a text stand at different places of a row, so
they are two views of it (SimCSE, Gao et al. 2021, arXiv 2104.08821). Letters: b rows, t places, d model width.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Dropout:
    """`share`: of the numbers that are left out. `keys`: a number for each row of a batch, from which it is drawn."""

    share: float
    keys: tuple[int, ...]

    def of(self, x_btd: Tensor, layer: int, part: str) -> Tensor:
        """What is left of the output of a part of a layer."""
        import torch

        left_btd = torch.empty(x_btd.shape, device=x_btd.device)
        for row, key in enumerate(self.keys):
            named = hashlib.sha256(f"dropout/{key}/{layer}/{part}".encode()).digest()
            of_row = torch.Generator(x_btd.device).manual_seed(int.from_bytes(named[:7]))
            left_btd[row].bernoulli_(1.0 - self.share, generator=of_row)
        return x_btd * (left_btd / (1.0 - self.share)).to(x_btd.dtype)
