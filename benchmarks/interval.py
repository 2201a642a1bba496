"""Paired differences of a few seeds: their mean, and how sure it is."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

# two-sided 95 % points of Student's t by degrees of freedom
T95 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365}


def interval(differences: Sequence[float]) -> tuple[float, float]:
    """Mean, and half of its 95 % t interval."""
    count = len(differences)
    return statistics.fmean(differences), T95[count - 1] * statistics.stdev(differences) / math.sqrt(count)
