"""Widths and counts of the Llamas of the GaLore and SLTrain papers' tables (C4, 32000 words).

`1m` and `9m` share their blocks, and are named after their size with a vocabulary of about a thousand and of 32000.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Activation = Literal["silu", "none"]  # between the two factors of a projection


class Shape(NamedTuple):
    """Widths and counts of a Llama without biases. Each head of keys and values serves `heads / kv_heads` heads of
    queries (Ainslie et al. 2023); equal numbers are plain multi-head attention.
    """

    hidden: int
    inter: int
    layers: int
    heads: int
    kv_heads: int

    @property
    def head_width(self) -> int:
        """Channels of one head."""
        return self.hidden // self.heads

    @property
    def kv_width(self) -> int:
        """Channels of all keys, and of all values."""
        return self.kv_heads * self.head_width

    @property
    def narrowest(self) -> int:
        """The smallest width of a projection: the highest rank that all of them may have."""
        return min(self.hidden, self.inter, self.kv_width)


SHAPES: dict[str, Shape] = {
    "1m": Shape(128, 352, 4, 4, 4),
    "9m": Shape(128, 352, 4, 4, 4),
    "60m": Shape(512, 1376, 8, 8, 8),
    "130m": Shape(768, 2048, 12, 12, 12),
    "350m": Shape(1024, 2736, 24, 16, 16),
    "1b": Shape(2048, 5461, 24, 32, 32),
    "3b": Shape(2560, 6848, 32, 32, 32),
    "7b": Shape(4096, 11008, 32, 32, 32),
}

# The rank each size is trained with in the GaLore, SLTrain and CoLA papers; advice, never a hidden default.
USUAL_RANK: dict[str, int] = {"60m": 128, "130m": 256, "350m": 256, "1b": 512, "7b": 1024}


def check_rank(rank: int, shape: Shape) -> None:
    """Raises ValueError unless 1 <= rank <= the smaller width of every projection."""
    if not 1 <= rank <= shape.narrowest:
        raise ValueError(f"rank: found {rank}, expected 1 to {shape.narrowest} for {shape}")
