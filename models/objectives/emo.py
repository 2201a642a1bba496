"""EMO as an objective: the nearer a wrong token lies to the right one, the less it costs (Ren et al., ICLR 2024, arXiv
2310.04691). The arithmetic and its law are in `models.objectives.emo_losses`.

The distance between two tokens is that of their rows in a head, without a gradient: in the head as it stands (the
paper's adaptive cost, for a narrow domain or instructions), or in that of the model that the run starts from (its fixed
cost, for continued training). It is a late stage of a training, and no start: with a random head every wrong token is
as far as any other.

Letters: b rows, t places, d model width, e width of the rows of a cost, v vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Literal

from models.objective import Objective, TokenLosses

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import Tensor

    from models.batch import Batch


@dataclass(frozen=True, kw_only=True)
class Emo(Objective):
    """The earth mover's distance, mixed with the cross-entropy.

    cost            rows that distances are measured between: of the `head` as it stands, or of the head of the model
                    that the run starts from (`start`), as that was
    mode            1 keeps the value of the cross-entropy, 2 that of twice the distance
    share           of this loss; the rest is plain cross-entropy. 0 is plain training, to the bit
    clamp           largest ratio of mode 1; null for none
    target_in_cost  count the target's own probability as a cost, in the ratio only
    """

    cost: Literal["head", "start"] = "head"
    mode: Literal[1, 2] = 1
    share: float = 1.0
    clamp: float | None = 3.0
    target_in_cost: bool = False

    def __post_init__(self) -> None:
        if self.cost not in ("head", "start"):
            raise ValueError(f"cost: found {self.cost!r}, expected head or start")
        if self.mode not in (1, 2):
            raise ValueError(f"mode: found {self.mode!r}, expected 1 or 2")
        if not 0.0 <= self.share <= 1.0:
            raise ValueError(f"share: found {self.share!r}, expected a share from 0 to 1")
        if self.clamp is not None and not self.clamp > 0.0:
            raise ValueError(f"clamp: found {self.clamp!r}, expected a number above 0, or null")

    @property
    def asks_start(self) -> bool:
        return self.cost == "start"

    def bound(self, start: Path) -> Objective:
        return FixedEmo(**{field.name: getattr(self, field.name) for field in fields(self)}, start=start)

    def cost_of(self, head_vd: Tensor) -> Tensor:
        """Rows of unit length `[v, e]`, fp32."""
        from models.objectives.emo_losses import unit_rows

        assert self.cost == "head", "a fixed cost of no model"
        return unit_rows(head_vd)

    def losses(self, x_btd: Tensor, head_vd: Tensor, batch: Batch) -> TokenLosses:
        import torch

        from models.objectives.emo_losses import emo_losses

        assert batch.labels_bt is not None, "losses of a batch without labels"
        labels_bt = batch.labels_bt
        cost_vd = self.cost_of(head_vd)
        x_nd, device = x_btd.flatten(0, 1), x_btd.device.type
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
            x_nd, head_vd = x_nd.to(dtype), head_vd.to(dtype)
        with torch.autocast(device, enabled=False):  # the costs are multiplied in fp32
            losses_n, scores_n = emo_losses(x_nd, head_vd, labels_bt.flatten(), cost_vd, self)
        return TokenLosses(losses_n.view_as(labels_bt).clone(), scores_n.view_as(labels_bt).clone())


@dataclass(frozen=True, kw_only=True)
class FixedEmo(Emo):
    """EMO with the cost of one trained model. `start`: its file (`models.files`)."""

    start: Path
    _costs: dict[torch.device, Tensor] = field(default_factory=dict, repr=False, compare=False)

    def cost_of(self, head_vd: Tensor) -> Tensor:
        from models.files import head
        from models.objectives.emo_losses import unit_rows

        if head_vd.device not in self._costs:
            cost_ve = unit_rows(head(self.start).to(head_vd.device))
            assert len(cost_ve) == len(head_vd), "the cost of another vocabulary"
            self._costs[head_vd.device] = cost_ve
        return self._costs[head_vd.device]
