"""The S-curve: the chance that two documents of Jaccard similarity s share a band, 1 - (1 - s^rows)^bands.

Source: Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", section 3.4. `default` is FineWeb's
choice (Penedo et al. 2024); `strict` is datasketch's optimum for 0.8; `wide` is for aggressive removal.
"""

from functools import cache

import numpy as np


def probability(s: np.ndarray | float, bands: int, rows: int) -> np.ndarray:
    return 1 - (1 - np.asarray(s, float) ** rows) ** bands


def similarity_at(p: float, bands: int, rows: int) -> float:
    """The similarity at which a pair is found with probability p."""
    return (1 - (1 - p) ** (1 / bands)) ** (1 / rows)


@cache
def bands_for(similarity: float, permutations: int) -> tuple[int, int]:
    """(bands, rows) by datasketch's optimiser: the least area of false positives and false negatives."""
    from datasketch import MinHashLSH

    chosen = MinHashLSH(threshold=similarity, num_perm=permutations)
    return chosen.b, chosen.r


def describe(bands: int, rows: int) -> str:
    """One line for the terminal: the similarities at which 10, 50, 90 and 99 % of the pairs are found."""
    points = ", ".join(f"{p:.0%} at {similarity_at(p, bands, rows):.3f}" for p in (0.1, 0.5, 0.9, 0.99))
    return f"{bands} bands x {rows} rows finds {points}"
