"""A loss over the whole batch in two passes: its value and gradient from what all processes gather, and then the part
of each micro-batch (`models.batch_objective`).

Values are gathered in the order of the batch and in fp64, and only those of real pieces, so that the loss is the same
number for any number of processes and of micro-batches. Letters: b rows, t places, p pieces, u groups, k values of a
piece, n pieces of the whole batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from models.batch import Batch
from models.batch_objective import BatchObjective, NoNegatives
from models.losses import IGNORE
from models.objective import PieceValues, SampleLosses
from models.sample_objective import SamplePieces
from pipeline.errors import DataError
from stages.training.gradients import gather_columns


class PartOfLoss(NamedTuple):
    """What one micro-batch has of the loss: `loss_u` of its groups, and the gradient in the values of its pieces; fp64
    and without a gradient.
    """

    loss_u: Tensor
    gradient_pk: Tensor

    def losses(self, values: PieceValues, micro: Batch) -> SampleLosses:
        """The losses of the groups, whose gradient is that of the whole loss. A loss of a whole batch has no score of
        its own places: every label's is the loss of its group.
        """
        assert micro.labels_bt is not None
        pieces = SamplePieces.of(micro)
        slopes_p = (values.values_pk.double() * self.gradient_pk).sum(1)
        slopes_u = slopes_p.new_zeros(pieces.groups).index_add(0, pieces.group_p, slopes_p)
        score_bt = self.loss_u[pieces.group_p[pieces.piece_bt]].float().where(micro.labels_bt != IGNORE, 0.0)
        return SampleLosses(self.loss_u + (slopes_u - slopes_u.detach()), score_bt)


def parts_of_loss(
    objective: BatchObjective,
    batch: Sequence[Batch],
    values: Sequence[Tensor],
    numbers: Sequence[int],
    step: int,
) -> list[PartOfLoss]:
    """The part of each micro-batch of this process. `values` [p, k] of each, and their numbers in the whole batch. All
    processes call it alike.
    """
    pieces = [SamplePieces.of(micro) for micro in batch]
    reads = objective.reads
    mine = [
        _columns(number, one, values_pk, reads) for number, one, values_pk in zip(numbers, pieces, values, strict=True)
    ]
    whole, _ = gather_columns(torch.cat(mine, 1), 0.0, None)
    head = 3 + len(reads)
    micro_n, begins_n, role_n = whole[0], whole[1], whole[2].long()
    group_n = begins_n.cumsum(0).long() - 1
    values_nk = whole[head:].T.contiguous().requires_grad_()
    gathered = SamplePieces(
        piece_bt=torch.zeros(0, 0, dtype=torch.int64),
        group_p=group_n,
        role_p=role_n,
        groups=int(begins_n.sum()),
        columns=dict(zip(reads, whole[3:head], strict=True)),
    )
    try:
        loss_u = objective.loss(values_nk, gathered)
    except NoNegatives as error:
        raise DataError(
            f"pretrain, step {step}", f"{error}", "a batch of several pairs that are not all the same",
            "more batch_rows, or samples with negatives",
        ) from None  # fmt: skip
    (gradient_nk,) = torch.autograd.grad(loss_u.sum(), values_nk)
    loss_u = loss_u.detach()
    found = []
    for number, one, values_pk in zip(numbers, pieces, values, strict=True):
        here_n, real_p = micro_n == number, one.role_p >= 0
        gradient_pk = values_pk.new_zeros(values_pk.shape, dtype=torch.float64)
        gradient_pk[real_p] = gradient_nk[here_n].to(gradient_pk.device)
        losses_u = gradient_pk.new_zeros(one.groups)
        losses_u[one.group_p[real_p]] = loss_u[group_n[here_n]].to(gradient_pk.device)
        found.append(PartOfLoss(losses_u, gradient_pk))
    return found


def _columns(number: int, pieces: SamplePieces, values_pk: Tensor, reads: Sequence[str]) -> Tensor:
    """Of the real pieces of a micro-batch, fp64 `[3 + carried + k, n]`: its number, whether a group begins, the role,
    carried columns, values.
    """
    real_p = pieces.role_p >= 0
    group_n = pieces.group_p[real_p]
    begins_n = torch.ones(len(group_n), dtype=torch.float64, device=group_n.device)
    begins_n[1:] = (group_n[1:] != group_n[:-1]).double()
    carried = [pieces.columns[name][real_p].double() for name in reads]
    head = [torch.full_like(begins_n, number), begins_n, pieces.role_p[real_p].double(), *carried]
    return torch.cat([torch.stack(head), values_pk[real_p].double().T])
