"""How sure a mean is: intervals by draws of documents with replacement (the bootstrap; Efron 1979)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

CHUNK = 64  # resamples at once


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
