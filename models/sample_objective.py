"""A loss of whole samples: what every piece gives is read off the model, and the pieces of a group make one loss.

A new one is a file with a class of this base and a line in `stages.catalog.OBJECTIVES`. The rows come from
`pack_samples`, whose groups are never parted, so a group's loss lies in one micro-batch. Its weight is the group's, and
its score stays the plain cross-entropy of the learned places.

Letters: b rows, t places, p pieces, u groups, k values of a piece.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from models.objective import Objective, PieceValues, SampleLosses

if TYPE_CHECKING:
    from torch import Tensor

    from models.batch import Batch


@dataclass(frozen=True)
class SamplePieces:
    """The pieces of a batch, as many in each row: those that a row does not have, and its filling, belong to a group
    without tokens.

    piece_bt  int64, the piece of each place
    group_p   int64, the group of each piece
    role_p    int64, what a piece is in its group; -1 where there is none
    groups    u, as many in each row
    columns   carried numbers of each piece, fp64 [p]
    """

    piece_bt: Tensor
    group_p: Tensor
    role_p: Tensor
    groups: int
    columns: Mapping[str, Tensor]

    @classmethod
    def of(cls, batch: Batch) -> SamplePieces:
        """The pieces of a batch of samples."""
        import torch
        from torch.nn.functional import pad

        assert batch.groups_bd is not None, "rows without groups"
        assert batch.roles_bd is not None
        assert batch.documents_bt is not None
        rows, width = batch.groups_bd.shape
        row_b1 = torch.arange(rows, device=batch.groups_bd.device)[:, None]
        stride = int(batch.groups_bd.max()) + 1 if width else 1
        group_bd = pad(batch.groups_bd, (1, 0))  # filling is piece 0, of group 0
        role_bd = pad(batch.roles_bd, (1, 0)).masked_fill(group_bd == 0, -1)
        columns = {name: pad(of_bd, (1, 0), value=float("nan")).flatten() for name, of_bd in batch.pieces.items()}
        return cls(
            batch.documents_bt + row_b1 * (width + 1),
            (group_bd + row_b1 * stride).flatten(),
            role_bd.flatten(),
            rows * stride,
            columns,
        )

    def sums(self, values_bt: Tensor) -> Tensor:
        """Sums over the places of each piece, fp64 `[p]`."""
        return values_bt.new_zeros(len(self.group_p)).double().index_add(
            0, self.piece_bt.flatten(), values_bt.flatten().double()
        )  # fmt: skip

    def of_role(self, values_p: Tensor, role: int) -> Tensor:
        """Value of the piece of a role in each group, `[u]`; 0 where a group has none."""
        held_p = values_p.where(self.role_p == role, 0.0)
        return held_p.new_zeros(self.groups).index_add(0, self.group_p, held_p)

    def first_roles(self) -> Tensor:
        """The role of the first piece of each group, int64 `[u]`; -1 where there is none."""
        import torch

        places_p = torch.arange(len(self.role_p), device=self.role_p.device)
        none, real_p = len(places_p), self.role_p >= 0
        first_u = torch.full((self.groups,), none, device=places_p.device)
        first_u = first_u.scatter_reduce(0, self.group_p[real_p], places_p[real_p], "amin")
        return torch.cat([self.role_p, self.role_p.new_tensor([-1])])[first_u]

    def of_group(self, name: str) -> Tensor:
        """A carried column by group, fp64 `[u]`: the pieces of a group come from one document."""
        values_p = self.columns[name]
        found_u = values_p.new_zeros(self.groups)
        found_u[self.group_p] = values_p.nan_to_num(nan=0.0, posinf=float("inf"), neginf=float("-inf"))
        return found_u


@dataclass(frozen=True, kw_only=True)
class SampleObjective(Objective):
    """Base of objectives with one loss for each group. `roles`: what the pieces of a group must be, in the order of
    their numbers; `Batch.pieces` holds the columns of `reads`.
    """

    unit: ClassVar = "group"
    roles: ClassVar[tuple[str, ...]] = ()

    def read(self, x_btd: Tensor, head_vd: Tensor, batch: Batch, pieces: SamplePieces) -> PieceValues:
        """What the loss is made of, `[p, k]`; here the log-probability of the learned places of each piece, and how
        many there are.
        """
        import torch

        from models.losses import IGNORE
        from models.objective import CROSS_ENTROPY

        assert batch.labels_bt is not None, "losses of a batch without labels"
        loss_bt, score_bt = CROSS_ENTROPY.losses(x_btd, head_vd, batch)
        learned_bt = (batch.labels_bt != IGNORE).double()
        return PieceValues(torch.stack([-pieces.sums(loss_bt), pieces.sums(learned_bt)], 1), score_bt)

    def loss(self, values_pk: Tensor, pieces: SamplePieces) -> Tensor:
        """The loss of each group `[u]`, finite where a group has no tokens."""
        raise NotImplementedError(f"{type(self).__name__}.loss")

    def losses(self, x_btd: Tensor, head_vd: Tensor, batch: Batch) -> SampleLosses:
        pieces = SamplePieces.of(batch)
        values_pk, score_bt = self.read(x_btd, head_vd, batch, pieces)
        return SampleLosses(self.loss(values_pk, pieces), score_bt)
