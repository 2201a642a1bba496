"""An objective from outside that makes one row of the data unusual: its loss is not a number, or far too high."""

from dataclasses import dataclass
from typing import Literal

import torch

from models.objective import CrossEntropy, TokenLosses


@dataclass(frozen=True, kw_only=True)
class Poisoned(CrossEntropy):
    row: int = 7
    how: Literal["nan", "high"] = "nan"

    def losses(self, x_btd, head_vd, batch):
        loss_bt, score_bt = super().losses(x_btd, head_vd, batch)
        here = (batch.rows_b == self.row)[:, None]
        if self.how == "nan":
            factor = torch.where(here, float("nan"), 1.0)
            return TokenLosses(loss_bt * factor, score_bt * factor)
        return TokenLosses(loss_bt, score_bt + 60.0 * here)
