"""Exact parameters, floating-point operations and bytes of a model, from its configuration alone; loads no
torch.

Conventions, stated because tables differ in them:
- a multiply-add is 2 operations; a backward is twice the forward; norms, activations and softmax are not
  counted;
- attention is counted causally: 2 d (t + 1) per token and layer, forward, about half of the 4 d t of PaLM's
  appendix B;
- the tables of GaLore, SLTrain and LOST print `bytes = 6 parameters + 8 indices` in decimal GB: bf16 weights
  and two bf16 moments, no gradients, no activations (`table_bytes`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from models.presets import Llama
from models.shapes import Shape


class Projection(NamedTuple):
    """A linear map of a block, `[out, in]`."""

    name: str
    out_width: int
    in_width: int


def projections(shape: Shape) -> list[Projection]:
    """The seven projections of one block."""
    d, f = shape.hidden, shape.inter
    square = [Projection(f"self_attn.{name}_proj", d, d) for name in "qkvo"]
    return [
        *square,
        Projection("mlp.gate_proj", f, d),
        Projection("mlp.up_proj", f, d),
        Projection("mlp.down_proj", d, f),
    ]


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """Trained numbers by place, and the int64 indices beside them."""

    embedding: int
    projections: int
    norms: int
    head: int
    indices: int

    @property
    def total(self) -> int:
        """All trained numbers."""
        return self.embedding + self.projections + self.norms + self.head


def count_parameters(config: Llama, vocab_size: int) -> Parameters:
    """Exact counts, equal to those of the built module."""
    shape = config.shape
    block = projections(shape)
    return Parameters(
        embedding=vocab_size * shape.hidden,
        projections=shape.layers * sum(size(s) for _, o, i in block for s in config.shapes(o, i)),
        norms=(2 * shape.layers + 1) * shape.hidden,
        head=vocab_size * shape.hidden,
        indices=shape.layers * sum(config.indices(o, i) for _, o, i in block),
    )


@dataclass(frozen=True, kw_only=True)
class Flops:
    """Forward operations per token."""

    projections: int
    head: int
    attention: int

    @property
    def forward(self) -> int:
        return self.projections + self.head + self.attention

    @property
    def training(self) -> int:
        """Forward and backward."""
        return 3 * self.forward


def rebuild_flops(config: Llama) -> int:
    """Operations per *forward*, whatever its tokens, of the matrices that each forward forms anew (SLTrain's `B A`)."""
    rank = getattr(config, "rank", 0)
    return config.shape.layers * sum(2 * rank * config.rebuilds(o, i) for _, o, i in projections(config.shape))


def count_flops(config: Llama, vocab_size: int, length: int) -> Flops:
    """Forward operations per token, averaged over a full row of `length` tokens."""
    shape = config.shape
    return Flops(
        projections=shape.layers * sum(config.flops(o, i) for _, o, i in projections(shape)),
        head=2 * shape.hidden * vocab_size,
        # place t reads t + 1 keys and values, 4 d each: 2 d (T + 1) on average over a row of length T
        attention=shape.layers * 2 * shape.hidden * (length + 1),
    )


@dataclass(frozen=True, kw_only=True)
class StateBytes:
    """Bytes that one process holds between steps."""

    weights: int
    gradients: int
    moments: int
    indices: int

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.moments + self.indices


def state_bytes(
    config: Llama,
    vocab_size: int,
    *,
    shards: int = 1,
    weight_bytes: int = 4,
    gradient_bytes: int = 4,
    moment_bytes: int = 4,
) -> StateBytes:
    """Weights, gradients and Adam's two moments on the fullest process under FSDP2 over `shards` processes.

    FSDP2 cuts every tensor along its first axis into equal chunks, the last ones shorter or empty.
    """
    shape = config.shape
    block = [s for _, o, i in projections(shape) for s in config.shapes(o, i)] + [(shape.hidden,)] * 2
    outer = [(vocab_size, shape.hidden), (vocab_size, shape.hidden), (shape.hidden,)]
    held = shape.layers * sum(first_shard(s, shards) for s in block) + sum(first_shard(s, shards) for s in outer)
    return StateBytes(
        weights=held * weight_bytes,
        gradients=held * gradient_bytes,
        moments=2 * held * moment_bytes,
        indices=8 * count_parameters(config, vocab_size).indices,
    )


def table_bytes(config: Llama, vocab_size: int = 32_000) -> int:
    """Bytes by the convention of the papers' tables (see the top of this file)."""
    counts = count_parameters(config, vocab_size)
    return 6 * counts.total + 8 * counts.indices


def saved_projection_bytes(config: Llama, tokens: int, number_bytes: int) -> int:
    """Activations that the projections of one block keep for the backward, inputs counted once.

    q, k, v share one input, gate and up another; o and down have their own. A low-rank or LOST layer adds
    h = A x, `rank` wide; SLTrain adds its rebuilt matrices, whose bytes do not depend on the tokens.
    """
    shape = config.shape
    inputs = tokens * (3 * shape.hidden + shape.inter)
    rebuilt = sum(config.rebuilds(o, i) for _, o, i in projections(shape))
    return number_bytes * (inputs + tokens * between(config) + rebuilt)


def between(config: Llama) -> int:
    """Numbers per token that the seven projections of a block keep between their factors."""
    return 7 * getattr(config, "rank", 0) if config.factored else 0


def saved_bytes(
    config: Llama, vocab_size: int, tokens: int, *, bf16: bool, logits: bool = True, recompute: bool = False
) -> int:
    """Activations that one forward with losses keeps for the backward, in fp32 or under bf16 autocast.

    Per block and token: the input of each norm and its normalised value (fp32 always), the two norms' outputs,
    q, k, v and the attention's output, four vectors of the inner width, and h of every factored projection; for
    the head, softmax minus one-hot over the vocabulary (not with `logits=False`, the chunked loss). Autocast adds a
    copy of the cast weights. With `recompute` every block keeps its input, and one block at a time all of it. Rotary
    tables and masks, which are smaller than 1 % in practice, are left out.
    """
    shape, counts = config.shape, count_parameters(config, vocab_size)
    number = 2 if bf16 else 4
    block = number * (6 * shape.hidden + 4 * shape.inter + between(config))
    block += 4 * (4 * shape.hidden + 2 + shape.heads)
    final = number * (shape.hidden + (vocab_size if logits else 0)) + 4 * (2 * shape.hidden + 1)
    kept_blocks = 1 if recompute else shape.layers
    inputs = 4 * shape.hidden * shape.layers if recompute else 0
    total = tokens * (kept_blocks * block + inputs + final)
    if bf16:
        total += 2 * (counts.projections * kept_blocks // shape.layers + counts.head)
    return total + kept_blocks * sum(number * config.rebuilds(o, i) for _, o, i in projections(shape))


@dataclass(frozen=True, kw_only=True)
class PeakBytes:
    """What the fullest process of a training holds at once."""

    state: int  # weights, gradients, moments, indices
    sums: int  # of gradients, over micro-batches and processes
    activations: int
    losses: int  # fp32 logits of the rows that are worked on at once
    libraries: int  # Python, torch and Ray before the first tensor

    @property
    def total(self) -> int:
        return self.state + self.sums + self.activations + self.losses + self.libraries


LIBRARIES = 420 * 1024**2  # resident after the imports of a worker (torch 2.13 on a CPU)
LOSS_ROWS = 512  # `models.losses.LinearCrossEntropy.BLOCK`


def peak_bytes(
    config: Llama,
    vocab_size: int,
    *,
    tokens: int,
    micro_batches: int = 1,
    processes: int = 1,
    shards: int = 1,
    bf16: bool = False,
    recompute: bool = False,
) -> PeakBytes:
    """Bytes of one process with `tokens` in a micro-batch and so many micro-batches of its own.

    Whole copies keep one sum of gradients for each level of the tree above the lowest (`stages.training.gradients`),
    and two flat vectors when there are several processes; shards add up in place.
    """
    held = count_parameters(config, vocab_size).total
    levels = max(0, micro_batches.bit_length() - 2) if shards == 1 else 0
    vectors = 2 if processes > 1 and shards == 1 else 0
    return PeakBytes(
        state=state_bytes(config, vocab_size, shards=shards).total,
        sums=4 * held * (levels + vectors),
        activations=saved_bytes(config, vocab_size, tokens, bf16=bf16, recompute=recompute),
        losses=2 * 4 * min(tokens, LOSS_ROWS) * vocab_size,
        libraries=LIBRARIES,
    )


def rank_for_parameters(config: Llama, projection_parameters: int) -> int:
    """The rank whose projections hold nearest to, and at most, this many parameters; 0 where rank 1 holds
    more.

    For comparisons at equal size: embeddings dominate small models, so the projections are compared.
    """
    shape = config.shape
    best = 0
    for rank in range(1, min(shape.hidden, shape.inter) + 1):
        if count_parameters(replace(config, **{"rank": rank}), 1).projections > projection_parameters:
            break
        best = rank
    return best


def size(shape: tuple[int, ...]) -> int:
    """Numbers in a tensor of this shape."""
    count = 1
    for axis in shape:
        count *= axis
    return count


def first_shard(shape: tuple[int, ...], shards: int) -> int:
    """Numbers of the first, largest chunk along axis 0."""
    return -(-shape[0] // shards) * size(shape[1:])
