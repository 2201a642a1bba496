"""How sure a mean is: intervals by draws of documents with replacement (the bootstrap; Efron 1979)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Interval

from pipeline.contract import Node

if TYPE_CHECKING:
    import numpy as np

CHUNK = 64  # resamples at once


@dataclass(frozen=True, kw_only=True, eq=False)
class Resampled(Node):
    """A node whose means have intervals.

    resamples  draws with replacement, for the intervals
    level      of the intervals
    """

    resamples: Annotated[int, Ge(100)] = 2000
    level: Annotated[float, Interval(gt=0, lt=1)] = 0.95
    seed: int = 0

    def mean_of(self, values: np.ndarray) -> dict[str, float]:
        """The mean of some values, and the ends of its interval."""
        import numpy as np

        low, high = interval(values, np.ones(len(values)), self.resamples, self.level, self.seed)
        return {"mean": float(values.mean()), "from": low, "to": high}

    def mean_columns(self) -> list[str]:
        """The heads of what `rounded` gives, for tables."""
        return ["mean", f"{self.level:.0%} from", "to"]


def rounded(found: Mapping[str, float], *more: str) -> list[float]:
    """A mean and its ends for a table, and more of what is known beside them."""
    return [round(found[name], 4) for name in ("mean", "from", "to", *more)]


def interval(values: np.ndarray, size: np.ndarray, resamples: int, level: float, seed: int) -> tuple[float, float]:
    """The interval of sum(values) / sum(size) over draws of documents with replacement; percentiles."""
    import numpy as np

    draw = np.random.Generator(np.random.Philox(seed))
    found = []
    for start in range(0, resamples, CHUNK):
        rows = draw.integers(0, len(size), (min(CHUNK, resamples - start), len(size)))
        found.append(values[rows].sum(1) / size[rows].sum(1))
    low, high = np.quantile(np.concatenate(found), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
