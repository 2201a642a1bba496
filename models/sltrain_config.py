"""SLTrain as a value, free of torch; its module is `models.sltrain`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from models.presets import Llama
from models.shapes import check_rank

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class SLTrain(Llama):
    """SLTrain (Han et al. 2024, arXiv 2406.02214): `W = alpha / rank B A + S`, S on a random support of fixed
    size.

    - `rank`: of A and B
    - `density`: share of *entries* kept in S
    - `alpha`: scale of the low-rank part, over the rank

    A control: it rebuilds a dense matrix in every forward.
    """

    rank: int
    density: float
    alpha: float = 32.0

    takes_weights: ClassVar[bool] = False
    tensors: ClassVar[tuple[str, ...]] = ("A", "B", "values")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rank(self.rank, self.shape)
        if not 0.0 < self.density < 1.0:
            raise ValueError(f"density: found {self.density!r}, expected a number between 0 and 1")

    def kept(self, out_width: int, in_width: int) -> int:
        """Number of kept entries of an `[out, in]` matrix."""
        return math.floor(self.density * out_width * in_width + 1e-9)

    def shapes(self, o: int, i: int) -> list[tuple[int, ...]]:
        return [(self.rank, i), (o, self.rank), (self.kept(o, i),)]

    def indices(self, o: int, i: int) -> int:
        return self.kept(o, i)

    def rebuilds(self, o: int, i: int) -> int:
        return o * i

    def module(self, o: int, i: int) -> nn.Module:
        from models.sltrain import SLTrainLinear

        return SLTrainLinear(i, o, rank=self.rank, kept=self.kept(o, i), alpha=self.alpha)

    def start(self, weight: Callable[[], Tensor], o: int, i: int, seed: int, name: str) -> dict[str, Tensor]:
        from models.sltrain import start

        return start(o, i, self.rank, self.kept(o, i), seed, name)
