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

from models.presets import Llama, Lost, LowRank, Shape, SLTrain


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


def tensor_shapes(config: Llama, projection: Projection) -> list[tuple[int, ...]]:
    """Shapes of the trained tensors of one projection, in the order of the module's parameters."""
    _, o, i = projection
    match config:
        case Lost():
            kept = config.kept(i)
            return [(config.rank, i), (o, config.rank), *([(o, kept)] if kept else [])]
        case LowRank():
            return [(config.rank, i), (o, config.rank)]
        case SLTrain():
            return [(config.rank, i), (o, config.rank), (config.kept(o, i),)]
        case _:
            return [(o, i)]


def index_count(config: Llama, projection: Projection) -> int:
    """int64 indices of one projection: buffers, neither trained nor sharded."""
    match config:
        case Lost():
            return config.kept(projection.in_width)
        case SLTrain():
            return config.kept(projection.out_width, projection.in_width)
        case _:
            return 0


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
        projections=shape.layers * sum(size(s) for p in block for s in tensor_shapes(config, p)),
        norms=(2 * shape.layers + 1) * shape.hidden,
        head=vocab_size * shape.hidden,
        indices=shape.layers * sum(index_count(config, p) for p in block),
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


def projection_flops(config: Llama, projection: Projection) -> int:
    """Forward operations per token of one projection; SLTrain's rebuilt matrix is not in it (see
    `rebuild_flops`).
    """
    _, o, i = projection
    match config:
        case Lost():
            return 2 * (config.rank * (i + o) + config.kept(i) * o)
        case LowRank():
            return 2 * config.rank * (i + o)
        case _:
            return 2 * i * o


def rebuild_flops(config: Llama) -> int:
    """Operations per *forward*, whatever its tokens, that SLTrain spends on `B A`; 0 for the others."""
    if not isinstance(config, SLTrain):
        return 0
    shape = config.shape
    return shape.layers * sum(2 * config.rank * p.out_width * p.in_width for p in projections(shape))


def count_flops(config: Llama, vocab_size: int, length: int) -> Flops:
    """Forward operations per token, averaged over a full row of `length` tokens."""
    shape = config.shape
    return Flops(
        projections=shape.layers * sum(projection_flops(config, p) for p in projections(shape)),
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
    block = [s for p in projections(shape) for s in tensor_shapes(config, p)] + [(shape.hidden,)] * 2
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
    match config:
        case Lost() | LowRank():
            extra = tokens * 7 * config.rank
        case SLTrain():
            extra = sum(p.out_width * p.in_width for p in projections(shape))
        case _:
            extra = 0
    return number_bytes * (inputs + extra)


def saved_bytes(config: Llama, vocab_size: int, tokens: int, *, bf16: bool, logits: bool = True) -> int:
    """Activations that one forward with losses keeps for the backward, in fp32 or under bf16 autocast.

    Per block and token: the input of each norm and its normalised value (fp32 always), the two norms' outputs,
    q, k, v and the attention's output, four vectors of the inner width, and h of every factored projection; for
    the head, softmax minus one-hot over the vocabulary (not with `logits=False`, the chunked loss). Autocast adds a
    copy of the cast weights. Rotary tables and masks, which are smaller than 1 % in practice, are left out.
    """
    shape, counts = config.shape, count_parameters(config, vocab_size)
    number = 2 if bf16 else 4
    factored = 7 * config.rank if isinstance(config, Lost | LowRank) else 0
    block = number * (6 * shape.hidden + 4 * shape.inter + factored)
    block += 4 * (4 * shape.hidden + 2 + shape.heads)
    final = number * (shape.hidden + (vocab_size if logits else 0)) + 4 * (2 * shape.hidden + 1)
    total = tokens * (shape.layers * block + final)
    if bf16:
        total += 2 * (counts.projections + counts.head)
    if isinstance(config, SLTrain):
        total += shape.layers * sum(number * p.out_width * p.in_width for p in projections(shape))
    return total


def rank_for_parameters(config: LowRank | Lost | SLTrain, projection_parameters: int) -> int:
    """The rank whose projections hold nearest to, and at most, this many parameters; 0 where rank 1 holds
    more.

    For comparisons at equal size: embeddings dominate small models, so the projections are compared.
    """
    shape = config.shape
    best = 0
    for rank in range(1, min(shape.hidden, shape.inter) + 1):
        if count_parameters(replace(config, rank=rank), 1).projections > projection_parameters:
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
