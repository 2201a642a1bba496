"""A loss over the whole batch: every sample meets every other one, whatever micro-batch or process holds it.

A loss such as the contrastive one has no value for a part of the batch, and one computed for each micro-batch would be
another method. So a step has two passes (GradCache, Gao et al. 2021, arXiv 2101.06983): a forward without gradients
gives the values of all pieces; the loss of the whole batch and its gradient in these values are the same numbers in
every process; and a second pass sends `<values, gradient>` backward, micro-batch by micro-batch
(`stages.training.whole_batch`).

Letters: p pieces, u groups, k values of a piece.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.objective import PieceValues
from models.sample_objective import SampleObjective, SamplePieces

if TYPE_CHECKING:
    from torch import Tensor

    from models.batch import Batch


class NoNegatives(ValueError):
    """A batch in which nothing can be told apart from a sample."""


@dataclass(frozen=True, kw_only=True)
class BatchObjective(SampleObjective):
    """Base of objectives with one loss over all groups of a batch. `read` gives the values of the pieces of a
    micro-batch; `loss` gets those of the whole batch, in its order and in fp64, without places that belong to no piece.
    """

    def losses(self, x_btd: Tensor, head_vd: Tensor, batch: Batch) -> PieceValues:  # type: ignore[override]
        return self.read(x_btd, head_vd, batch, SamplePieces.of(batch))
