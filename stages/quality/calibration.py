"""From a score to a probability that can be read as one: isotonic regression (Zadrozny and Elkan 2002).

A classifier ranks well and says little by its numbers: the best tenth may begin at 0.018. Over the documents of a test
the share of good ones rises with the score; the closest rising steps to it are the calibration. It holds for as many
good documents as bad ones, as they were trained on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def isotonic(scores: np.ndarray, good: np.ndarray) -> tuple[list[float], list[float]]:
    """(scores, probabilities), both ascending: the corners of the closest non-falling function of the score.

    Pool adjacent violators: a block of documents whose share is above the next one's is joined with it. Between two
    corners the probability is interpolated.
    """
    import numpy as np

    blocks: list[list[float]] = []  # [sum of good, documents, lowest score, highest score]
    values, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    for score, hits, count in zip(values, np.bincount(inverse, good), counts, strict=True):
        blocks.append([float(hits), float(count), float(score), float(score)])
        while len(blocks) > 1 and blocks[-2][0] * blocks[-1][1] >= blocks[-1][0] * blocks[-2][1]:
            above = blocks.pop()
            blocks[-1] = [blocks[-1][0] + above[0], blocks[-1][1] + above[1], blocks[-1][2], above[3]]
    corners = [(end, hits / count) for hits, count, low, high in blocks for end in dict.fromkeys((low, high))]
    return [score for score, _ in corners], [share for _, share in corners]


def calibrate(scores: np.ndarray, corners: tuple[list[float], list[float]]) -> np.ndarray:
    """Probabilities, float64; beyond the corners as at the nearest one."""
    import numpy as np

    return np.interp(scores, *corners)
