"""A collator from outside: masked tokens under bidirectional attention, unshifted labels, keyed coins."""

from dataclasses import dataclass

import numpy as np

from models.losses import IGNORE
from stages.training.collate import Collator, batch_of


@dataclass(frozen=True, kw_only=True)
class Masked(Collator):
    share: float = 0.3
    mask_id: int = 1

    def collate(self, rows, key):
        ids = rows.ids[:, :-1]
        used = rows.documents[:, :-1] > 0
        coins = np.stack([key.chance(int(row)).random(ids.shape[1]) for row in rows.numbers])
        hidden = used & (coins < self.share)
        return batch_of(
            rows, np.where(hidden, self.mask_id, ids), np.where(hidden, ids, IGNORE), attention="bidirectional"
        )
