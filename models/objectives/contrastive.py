"""Of all texts of a batch a query shall be most like its own: the contrastive loss with the other pairs as negatives.

Sources: InfoNCE (van den Oord et al. 2018, arXiv 1807.03748); two dropouts of one text as a pair (SimCSE, Gao et al.
2021, arXiv 2104.08821); the scale of LLM2Vec (BehnamGhader et al. 2024, arXiv 2404.05961); truncated vectors
(Matryoshka, Kusupati et al. 2022, arXiv 2205.13147). Letters: b rows, t places, p pieces, u groups, n negatives, d
model width, m numbers of a truncated vector.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from models.batch_objective import BatchObjective, NoNegatives
from models.objective import PieceValues
from models.sample_objective import SamplePieces

if TYPE_CHECKING:
    from torch import Tensor

    from models.batch import Batch

ROLES = ("query", "positive", "negative")


@dataclass(frozen=True, kw_only=True)
class Contrastive(BatchObjective):
    """`-log exp(scale cos(q, d)) / sum_j exp(scale cos(q, d_j))`: d the query's own text, d_j all texts of the batch
    that are positive for some query, and all hard negatives.

    scale    of the cosines, one over the temperature
    dims     lengths to which vectors are cut, each with a loss of its own, of which the mean counts; empty = whole
             vectors alone
    same     the column of a number that pairs share which are no negatives of each other: a cluster of duplicates, a
             document that both come from
    pooling  the vector of a text: the `mean` of its states, or the `last` one. Learned places are pooled
    """

    scale: float = 20.0
    dims: tuple[int, ...] = ()
    same: str | None = None
    pooling: Literal["mean", "last"] = "mean"

    roles: ClassVar[tuple[str, ...]] = ROLES

    def __post_init__(self) -> None:
        object.__setattr__(self, "dims", tuple(self.dims))
        if not self.scale > 0.0:
            raise ValueError(f"scale: found {self.scale!r}, expected a number above 0")
        if any(one < 1 for one in self.dims) or list(self.dims) != sorted(set(self.dims)):
            raise ValueError(f"dims: found {list(self.dims)}, expected rising lengths of at least 1")
        if self.pooling not in ("mean", "last"):
            raise ValueError(f"pooling: found {self.pooling!r}, expected mean or last")

    @property
    def reads(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return () if self.same is None else (self.same,)

    def read(self, x_btd: Tensor, head_vd: Tensor, batch: Batch, pieces: SamplePieces) -> PieceValues:
        import torch

        from models.losses import IGNORE

        assert batch.labels_bt is not None, "texts whose places to pool are not marked"
        used_bt = batch.labels_bt != IGNORE
        if self.pooling == "last":
            t = used_bt.shape[1]
            places_bt = torch.arange(t, device=used_bt.device).expand_as(used_bt)
            # the last used place of each piece
            last_p = torch.full((len(pieces.group_p),), -1, device=used_bt.device).scatter_reduce(
                0, pieces.piece_bt[used_bt], places_bt[used_bt], "amax"
            )
            used_bt = used_bt & (places_bt == last_p[pieces.piece_bt])
        sums_pd = x_btd.new_zeros(len(pieces.group_p), x_btd.shape[-1], dtype=torch.float32)
        sums_pd = sums_pd.index_add(0, pieces.piece_bt[used_bt], x_btd[used_bt].float())
        counts_p = torch.bincount(pieces.piece_bt[used_bt], minlength=len(pieces.group_p))
        return PieceValues(
            sums_pd / counts_p.clamp_min(1)[:, None], torch.zeros_like(batch.ids_bt, dtype=torch.float32)
        )

    def loss(self, values_pk: Tensor, pieces: SamplePieces) -> Tensor:
        import torch

        order_u = [
            torch.argsort(pieces.group_p.masked_fill(pieces.role_p != role, pieces.groups), stable=True)
            for role in (0, 1)
        ]
        q_ud, d_ud = (values_pk[at[: pieces.groups]] for at in order_u)
        n_nd = values_pk[pieces.role_p == 2]
        apart_uj = self._apart(pieces, len(n_nd))
        if not bool(apart_uj.any(1).all()):
            raise NoNegatives(f"a query that has no other text among {pieces.groups} pairs")
        seen_uj = apart_uj.clone()
        seen_uj[:, : pieces.groups].fill_diagonal_(True)
        widths = self.dims or (values_pk.shape[1],)
        losses = [self._of_width(q_ud[:, :m], torch.cat([d_ud, n_nd])[:, :m], seen_uj) for m in widths]
        return torch.stack(losses).mean(0)

    def _of_width(self, q_um: Tensor, d_jm: Tensor, seen_uj: Tensor) -> Tensor:
        from torch.nn.functional import normalize

        scores_uj = self.scale * normalize(q_um, dim=1) @ normalize(d_jm, dim=1).T
        own_u = scores_uj.diagonal()
        return scores_uj.masked_fill(~seen_uj, float("-inf")).logsumexp(1) - own_u

    def _apart(self, pieces: SamplePieces, hard: int) -> Tensor:
        """Which texts are negatives of each query, bool `[u, u + n]`; a query's own is none."""
        import torch

        device = pieces.group_p.device
        apart_uu = ~torch.eye(pieces.groups, dtype=torch.bool, device=device)
        if self.same is not None:
            same_u = pieces.of_group(self.same)
            apart_uu &= same_u[:, None] != same_u[None, :]
        return torch.cat([apart_uu, torch.ones(pieces.groups, hard, dtype=torch.bool, device=device)], 1)
