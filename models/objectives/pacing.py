"""How far a curriculum has come: CLIMB's pacing functions (Diehl Martinez et al. 2023, arXiv 2311.08886).

Between the shares `start` and `end` of a run the value climbs from `begin` to 1, by the shape given. It is a function
of the step alone, so a resumed run is where the dead one was. The logarithm climbs 54 % of its range in the
first 1 % of the steps, and is close to no curriculum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from models.fields import Typed

Shape = Literal["linear", "quadratic", "root", "exponential", "logarithm", "step"]
SHAPES = {
    "linear": lambda x: x,
    "quadratic": lambda x: x * x,
    "root": math.sqrt,
    "exponential": lambda x: math.expm1(10.0 * x) / math.expm1(10.0),
    "logarithm": lambda x: 1.0 + 0.1 * math.log(x + math.exp(-10.0)),
    "step": lambda x: 0.0,
}


@dataclass(frozen=True, kw_only=True)
class Pacing(metaclass=Typed):
    """The fields of what climbs, with the authors' values. `begin`: the share of the whole (rows, vocabulary) that the
    first steps see.
    """

    shape: Shape = "linear"
    start: float = 0.0625
    end: float = 0.875
    begin: float = 0.1

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise ValueError(f"shape: found {self.shape!r}, expected one of {', '.join(SHAPES)}")
        if not 0.0 <= self.start <= self.end <= 1.0:
            raise ValueError(f"start, end: found {self.start!r}, {self.end!r}, expected two shares in order")
        if not 0.0 < self.begin <= 1.0:
            raise ValueError(f"begin: found {self.begin!r}, expected a share above 0")

    def at(self, step: int, steps: int) -> float:
        """The share at a step of a run of `steps`: in [begin, 1], and never falling."""
        start, end = self.start * steps, self.end * steps
        if step < start:
            return self.begin
        if step >= end:
            return 1.0
        x = (step - start) / (end - start)
        return min(1.0, max(self.begin, self.begin + (1.0 - self.begin) * SHAPES[self.shape](x)))


def prefix(share: float, rows: int) -> int:
    """Rows of an order by difficulty that a share of it admits, at least 1."""
    return max(1, math.ceil(share * rows))
