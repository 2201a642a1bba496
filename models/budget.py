"""What a training costs before it starts: operations, hours on a GPU, and the published runs to hold them against."""

from __future__ import annotations

from typing import NamedTuple

from models.accounting import count_flops, count_parameters
from models.presets import Llama

H100_FLOPS = 989e12  # bf16, dense, of the SXM card (data sheet)
TOKENS_PER_PARAMETER = 20  # Hoffmann et al. 2022


class Published(NamedTuple):
    """A run of DCLM (Li et al. 2024, arXiv 2406.11794, table 1): its size, tokens and H100 hours.

    The share of the peak follows from them with 6 operations per parameter and token; it is not printed there.
    """

    name: str
    parameters: float
    tokens: float
    hours: float
    share: float


DCLM = (
    Published("DCLM 412M", 412e6, 8.2e9, 26, 0.22),
    Published("DCLM 1.4B", 1.4e9, 28.8e9, 240, 0.28),
    Published("DCLM 2.8B", 2.8e9, 55.9e9, 740, 0.36),
    Published("DCLM 6.9B", 6.9e9, 138e9, 3700, 0.43),
)


def gpu_hours(operations: float, share: float, peak: float = H100_FLOPS) -> float:
    """Hours of one GPU at this share of its peak (MFU)."""
    return operations / (peak * share) / 3600.0


class Cost(NamedTuple):
    """Of a training on so many tokens."""

    tokens: float
    operations: float
    hours: float


def cost(config: Llama, vocab_size: int, length: int, tokens: float, share: float) -> Cost:
    """Operations are those of `models.accounting`: matrices and causal attention, the embedding's look-up not."""
    operations = tokens * count_flops(config, vocab_size, length).training
    return Cost(tokens, operations, gpu_hours(operations, share))


def usual_tokens(config: Llama, vocab_size: int, times: float = TOKENS_PER_PARAMETER) -> float:
    """`times` tokens for each parameter."""
    return times * count_parameters(config, vocab_size).total
