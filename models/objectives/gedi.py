"""A class-conditional language model that tells classes apart: GeDi (Krause et al. 2020, arXiv 2009.06367).

Every text is read under the code of each class. With l_c the mean log-probability of its tokens under the code c,

    p(c | x) = softmax_c(alpha l_c + b_c)      L = share (-l_y) + (1 - share) (-log p(y | x))

where y is the text's own class. Letters: p pieces, u groups, c codes, k values of a piece.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Literal

from models.objective import Objective, OwnTensor
from models.sample_objective import SampleObjective, SamplePieces

if TYPE_CHECKING:
    from torch import Tensor

Learned = Literal["alpha", "bias"]


@dataclass(frozen=True, kw_only=True)
class Gedi(SampleObjective):
    """The generative and the discriminative loss of texts under the codes of their classes.

    codes  the codes of `classes`, in their order
    share  of the generative loss; 1 = a class-conditional language model
    learn  which of `alpha`, the scale of the log-probabilities (from 1), and `bias`, one of each code (from 0), are
           learned; the others stay as they begin
    rate   factor of the learning rate of both
    """

    codes: tuple[str, ...]
    share: float = 0.8
    learn: tuple[str, ...] = ("alpha", "bias")
    rate: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "codes", tuple(self.codes))
        object.__setattr__(self, "learn", tuple(self.learn))
        if len(set(self.codes)) < max(2, len(self.codes)):
            raise ValueError(f"codes: found {list(self.codes)}, expected two different ones or more")
        if not 0.0 <= self.share <= 1.0:
            raise ValueError(f"share: found {self.share!r}, expected a share from 0 to 1")
        if wrong := [name for name in self.learn if name not in ("alpha", "bias")]:
            raise ValueError(f"learn: found {wrong[0]!r}, expected some of alpha, bias")
        if not self.rate > 0.0:
            raise ValueError(f"rate: found {self.rate!r}, expected a factor above 0")

    @property
    def roles(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.codes

    @property
    def owns(self) -> tuple[OwnTensor, ...]:
        starts = {"alpha": (1.0,), "bias": (0.0,) * len(self.codes)}
        return tuple(OwnTensor(name, starts[name], self.rate) for name in self.learn)

    def with_numbers(self, own: Mapping[str, Tensor]) -> Objective:
        return _OpenGedi(**{one.name: getattr(self, one.name) for one in fields(self)}, own=own)

    def numbers(self) -> Mapping[str, Tensor]:
        """alpha and bias, where they are learned."""
        return {}

    def loss(self, values_pk: Tensor, pieces: SamplePieces) -> Tensor:
        import torch

        own = self.numbers()
        mean_p = values_pk[:, 0] / values_pk[:, 1].clamp_min(1.0)
        mean_uc = torch.stack([pieces.of_role(mean_p, role) for role in range(len(self.codes))], 1)
        logits_uc = mean_uc * own["alpha"].double() if "alpha" in own else mean_uc
        if "bias" in own:
            logits_uc = logits_uc + own["bias"].double()
        label_u1 = pieces.first_roles().clamp_min(0)[:, None]
        generative_u = -mean_uc.gather(1, label_u1)[:, 0]
        discriminative_u = -torch.log_softmax(logits_uc, 1).gather(1, label_u1)[:, 0]
        return self.share * generative_u + (1.0 - self.share) * discriminative_u


@dataclass(frozen=True, kw_only=True)
class _OpenGedi(Gedi):
    """Gedi with the numbers of a model."""

    own: Mapping[str, Tensor] = field(default_factory=dict, compare=False)

    def numbers(self) -> Mapping[str, Tensor]:
        return self.own
