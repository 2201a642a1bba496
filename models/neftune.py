"""Uniform noise on embeddings while a model is fine-tuned (NEFTune, Jain et al. 2023, arXiv 2310.05914).

Each of the d channels of a place gets `a / sqrt(L d) U(-1, 1)`, a variance of `a^2 / (3 L d)`. L is the number of
tokens of the place's document, not of its row, so that noise does not depend on what is packed beside it. Filling gets
none. Letters: b rows, t places, d model width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class EmbeddingNoise:
    """`amount`: a. `keys`: a number for each row of a batch, from which its noise is drawn."""

    amount: float
    keys: tuple[int, ...]

    def drawn(self, documents_bt: Tensor, width: int) -> Tensor:
        """The noise, fp32 `[b, t, d]`. `documents_bt`: the document of each place, 0 for filling."""
        import torch

        device, (rows, length) = documents_bt.device, documents_bt.shape
        stride = int(documents_bt.max()) + 1
        index_bt = documents_bt + torch.arange(rows, device=device)[:, None] * stride
        tokens_bt = torch.bincount(index_bt.flatten(), minlength=rows * stride)[index_bt]
        scale_bt = (self.amount / (tokens_bt * width).sqrt()).masked_fill(documents_bt == 0, 0.0)
        uniform_btd = torch.empty(rows, length, width, device=device)
        for row, key in enumerate(self.keys):
            uniform_btd[row].uniform_(-1.0, 1.0, generator=torch.Generator(device).manual_seed(key))
        return uniform_btd * scale_bt[:, :, None]
