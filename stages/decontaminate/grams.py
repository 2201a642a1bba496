"""N-grams of words as 64-bit hashes, and the ones of the evaluation sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.contract import Context
from stages.hashing.shingles import fmix64
from stages.loops.constants import BASE


@dataclass(frozen=True)
class Grams:
    """The n-grams of the evaluation sets.

    widths  int64[w]: their lengths in words
    starts  int64[w + 1]: those of widths[j] are hashes[starts[j] : starts[j + 1]], sorted
    hashes  uint64[g]
    """

    widths: np.ndarray
    starts: np.ndarray
    hashes: np.ndarray


def gram_hashes(words: np.ndarray, width: int) -> np.ndarray:
    """Return uint64[t - width + 1]: the hash of every run of `width` words; words uint64[t], their hashes.

    A polynomial over the word hashes, mixed: what the loop `find_passages` computes.
    """
    with np.errstate(over="ignore"):
        windows = np.lib.stride_tricks.sliding_window_view(words, width)
        h = np.zeros(len(windows), np.uint64)
        for j in range(width):
            h = h * np.uint64(BASE) + windows[:, j]
        return fmix64(h)


def load_grams(ctx: Context) -> Grams:
    """Return the output of the phase `items`."""
    node: Any = ctx.node
    widths = np.array(sorted({node.ngram, node.short_ngram}), np.int64)
    starts = np.load(ctx.path("items", "all", "-starts.npy"))
    return Grams(widths, starts, np.load(ctx.path("items", "all", "-grams.npy")))
