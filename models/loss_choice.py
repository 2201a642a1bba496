"""Which form of the cross-entropy serves which vocabulary and number of tokens, and what each keeps; loads no torch."""

from __future__ import annotations

from typing import Literal, NamedTuple

Form = Literal["full", "kept", "chunked", "fused"]

BLOCK = 512  # tokens whose fp32 logits the kept and the chunked form hold at once
FUSED_NUMBERS = 2**24  # logits that the fused form holds at once: 64 MB in fp32
KEPT_NUMBERS = 2**28  # logits up to which they are kept: 512 MB in bf16


def choose(vocab_size: int, tokens: int) -> Form:
    """The fastest form whose memory is in bounds.

    Keeping softmax minus one-hot was fastest, or as fast as the fastest, from 2,048 to 32,000 words and from 256 to
    4,096 tokens, in fp32 and in bf16 (docs/training.md, `python -m benchmarks.training losses`). The fused form takes
    more time and no memory that grows with both.
    """
    return "kept" if vocab_size * tokens <= KEPT_NUMBERS else "fused"


def fused_rows(vocab_size: int) -> int:
    """Tokens whose logits the fused form holds at once."""
    return max(64, FUSED_NUMBERS // vocab_size)


class LossBytes(NamedTuple):
    """`kept` from the forward to the backward, `passing` at once in the forward beside it."""

    kept: int
    passing: int


def loss_bytes(form: Form, vocab_size: int, hidden: int, tokens: int, number: int) -> LossBytes:
    """Bytes of a form with so many bytes to a number in its matmuls."""
    if form == "fused":
        rows = min(tokens, fused_rows(vocab_size))
        return LossBytes(number * tokens * hidden + 4 * vocab_size * hidden, rows * vocab_size * (2 * number + 8))
    if form == "chunked":
        return LossBytes(0, min(tokens, BLOCK) * vocab_size * (number + 12))
    if form == "full":
        return LossBytes(4 * tokens * vocab_size, tokens * vocab_size * (number + 4))
    return LossBytes(number * tokens * vocab_size, min(tokens, BLOCK) * vocab_size * 8)
