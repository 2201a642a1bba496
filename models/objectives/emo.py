"""EMO as an objective: the nearer a wrong token lies to the right one, the less it costs (Ren et al., ICLR 2024, arXiv
2310.04691). The arithmetic and its law are in `models.objectives.emo_losses`.

The distance between two tokens is that of their rows in the head as it stands, without a gradient: the paper's
adaptive cost. Leaves out its fixed cost, the rows of another model. It is a late stage of a training, and no start:
with a random head every wrong token is as far as any other.

Letters: b rows, t places, d model width, v vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from models.objective import Objective, TokenLosses

if TYPE_CHECKING:
    from torch import Tensor

    from models.batch import Batch


@dataclass(frozen=True, kw_only=True)
class Emo(Objective):
    """The earth mover's distance, mixed with the cross-entropy.

    mode            1 keeps the value of the cross-entropy, 2 that of twice the distance
    share           of this loss; the rest is plain cross-entropy. 0 is plain training, to the bit
    clamp           largest ratio of mode 1; null for none
    target_in_cost  count the target's own probability as a cost, in the ratio only
    """

    mode: Literal[1, 2] = 1
    share: float = 1.0
    clamp: float | None = 3.0
    target_in_cost: bool = False

    def __post_init__(self) -> None:
        if self.mode not in (1, 2):
            raise ValueError(f"mode: found {self.mode!r}, expected 1 or 2")
        if not 0.0 <= self.share <= 1.0:
            raise ValueError(f"share: found {self.share!r}, expected a share from 0 to 1")
        if self.clamp is not None and not self.clamp > 0.0:
            raise ValueError(f"clamp: found {self.clamp!r}, expected a number above 0, or null")

    def losses(self, x_btd: Tensor, head_vd: Tensor, batch: Batch) -> TokenLosses:
        import torch

        from models.objectives.emo_losses import emo_losses, unit_rows

        assert batch.labels_bt is not None, "losses of a batch without labels"
        labels_bt = batch.labels_bt
        cost_vd = unit_rows(head_vd)
        x_nd, device = x_btd.flatten(0, 1), x_btd.device.type
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
            x_nd, head_vd = x_nd.to(dtype), head_vd.to(dtype)
        with torch.autocast(device, enabled=False):  # the costs are multiplied in fp32
            losses_n, scores_n = emo_losses(x_nd, head_vd, labels_bt.flatten(), cost_vd, self)
        return TokenLosses(losses_n.view_as(labels_bt).clone(), scores_n.view_as(labels_bt).clone())
