"""The policy that a reward asks for, learned answer by answer: its log-ratio to the reference is given, and fitted.

The best policy at a divergence from a reference is `r(y) exp(phi(y) / beta) / Z`, so `log p(y) - log r(y)` must be
`phi(y) / beta - ln Z`. Of calibrated rewards Z is known (`transform_reward`), so nothing is sampled while it trains.
Sources: Balashankar et al. 2024 (InfAlign, arXiv 2412.19792) for phi; the regression is that of QRPO (Matrenok et al.
2025, arXiv 2507.08068). Letters: p pieces, u groups, k values of a piece.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from models.sample_objective import SampleObjective, SamplePieces

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Pointwise(SampleObjective):
    """`(phi / beta - ln Z - (log p(y) - log r(y)))^2` of each answer y. An answer without a reward has no
    `beta`, and a training refuses it: `select {where: beta > 0}` leaves such answers out.

    phi        column of the transformed reward
    beta       column of what it is divided by
    log_z      column of ln Z
    reference  column of the answer's nats under the reference, as `likelihood` with `ends: true` adds it
    """

    phi: str = "phi"
    beta: str = "beta"
    log_z: str = "log_z"
    reference: str = "reference_nats"

    roles: ClassVar[tuple[str, ...]] = ("answer",)

    @property
    def reads(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return (self.phi, self.beta, self.log_z, self.reference)

    def loss(self, values_pk: Tensor, pieces: SamplePieces) -> Tensor:
        ratio_u = pieces.of_role(values_pk[:, 0], 0) + pieces.of_group(self.reference)  # nats are -log r
        beta_u = pieces.of_group(self.beta)
        known_u = beta_u > 0.0
        wanted_u = pieces.of_group(self.phi) / beta_u.where(known_u, 1.0) - pieces.of_group(self.log_z)
        return (wanted_u - ratio_u).square().where(known_u, 0.0)
