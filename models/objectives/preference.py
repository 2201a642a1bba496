"""Of two answers to one prompt the chosen one shall be likelier than the rejected one.

SimPO (Meng et al. 2024, arXiv 2405.14734) compares the mean log-probability of a token, DPO (Rafailov et al. 2023,
arXiv 2305.18290) the log-probability of an answer with that under a reference model, which comes as columns of
`likelihood` and so costs nothing in training. Letters: p pieces, u groups, k values of a piece.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from models.sample_objective import SampleObjective, SamplePieces

if TYPE_CHECKING:
    from torch import Tensor

ROLES = ("chosen", "rejected")


@dataclass(frozen=True, kw_only=True)
class SimPO(SampleObjective):
    """`-log sigmoid(beta / |w| log p(w) - beta / |l| log p(l) - gamma)`: w the chosen answer, l the rejected one, |.|
    their tokens. Other trainers write the margin as `beta gamma`; here it is `gamma` itself.

    beta   scale of the difference
    gamma  what the difference shall exceed
    """

    beta: float = 2.5
    gamma: float = 0.5

    roles: ClassVar[tuple[str, ...]] = ROLES
    told: ClassVar[tuple[str, ...]] = ROLES

    def __post_init__(self) -> None:
        _check_beta(self.beta)
        if self.gamma < 0.0:
            raise ValueError(f"gamma: found {self.gamma!r}, expected at least 0")

    def loss(self, values_pk: Tensor, pieces: SamplePieces) -> Tensor:
        from torch.nn.functional import logsigmoid

        mean_p = values_pk[:, 0] / values_pk[:, 1].clamp_min(1.0)
        apart_u = pieces.of_role(mean_p, 0) - pieces.of_role(mean_p, 1)
        return -logsigmoid(self.beta * apart_u - self.gamma)


@dataclass(frozen=True, kw_only=True)
class DPO(SampleObjective):
    """`-log sigmoid(beta (log p(w) / r(w) - log p(l) / r(l)))`, r the reference model.

    beta      how far the model may leave the reference: smaller is farther
    chosen    the column of the chosen answer's nats under the reference, as `likelihood` with `ends: true` adds it
    rejected  that of the rejected answer
    """

    beta: float = 0.1
    chosen: str = "chosen_nats"
    rejected: str = "rejected_nats"

    roles: ClassVar[tuple[str, ...]] = ROLES
    told: ClassVar[tuple[str, ...]] = ROLES

    def __post_init__(self) -> None:
        _check_beta(self.beta)

    @property
    def reads(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return (self.chosen, self.rejected)

    def loss(self, values_pk: Tensor, pieces: SamplePieces) -> Tensor:
        from torch.nn.functional import logsigmoid

        logp_p = values_pk[:, 0]
        gained_u = pieces.of_role(logp_p, 0) + pieces.of_group(self.chosen)  # nats are -log r
        lost_u = pieces.of_role(logp_p, 1) + pieces.of_group(self.rejected)
        return -logsigmoid(self.beta * (gained_u - lost_u))


def _check_beta(beta: float) -> None:
    if beta < 0.0:
        raise ValueError(f"beta: found {beta!r}, expected at least 0")
