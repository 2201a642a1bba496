"""An objective from outside: label smoothing, rows weighed by a carried column."""

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F

from models.losses import IGNORE
from models.objective import Objective, TokenLosses


@dataclass(frozen=True, kw_only=True)
class Smoothed(Objective):
    amount: float = 0.1

    reads: ClassVar[tuple[str, ...]] = ("difficulty",)

    def losses(self, x_btd, head_vd, batch):
        logits = F.linear(x_btd, head_vd).float().flatten(0, 1)
        labels = batch.labels_bt
        loss = F.cross_entropy(
            logits, labels.flatten(), ignore_index=IGNORE, reduction="none", label_smoothing=self.amount
        )
        score = F.cross_entropy(logits.detach(), labels.flatten(), ignore_index=IGNORE, reduction="none")
        scale = batch.columns["difficulty"].float()[:, None]
        return TokenLosses(loss.view(labels.shape) * scale, score.view(labels.shape))
