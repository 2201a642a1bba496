"""Bytes that a process of a training holds, from the configuration alone; loads no torch.

Between steps: weights, gradients, what the optimiser keeps. In a step: sums of gradients, activations, the pieces of
the losses, and under FSDP2 what is gathered from the other processes for as long as it is used.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.accounting import count_parameters, projections, size
from models.adapter import Adapter, shapes
from models.loss_choice import Form, choose, loss_bytes
from models.optim_config import AdamW
from models.optimiser import Optimiser
from models.presets import Llama

ADAMW = AdamW()


@dataclass(frozen=True, kw_only=True)
class StateBytes:
    """Bytes that one process holds between steps."""

    weights: int
    gradients: int
    optimiser: int
    indices: int

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.optimiser + self.indices


def state_bytes(
    config: Llama,
    vocab_size: int,
    *,
    shards: int = 1,
    optimizer: Optimiser = ADAMW,
    adapter: Adapter | None = None,
    weight_bytes: int = 4,
    gradient_bytes: int = 4,
    optimiser_bytes: int = 4,
) -> StateBytes:
    """Weights, gradients and what the optimiser keeps, on the fullest process under FSDP2 over `shards` processes. With
    an adapter that is all that has gradients.

    FSDP2 cuts every tensor along its first axis into equal chunks, the last ones shorter or empty.
    """
    maps, others, outer = tensors(config, vocab_size)
    layers = config.shape.layers
    held = layers * sum(first_shard(s, shards) for s in maps + others) + sum(first_shard(s, shards) for s in outer)

    def kept(shape: tuple[int, ...], is_map: bool) -> int:
        return optimizer.numbers((-(-shape[0] // shards), *shape[1:]), is_map=is_map)

    numbers = layers * (sum(kept(s, True) for s in maps) + sum(kept(s, False) for s in others))
    numbers += sum(kept(s, False) for s in outer)
    learned = held
    if adapter is not None:
        beside = shapes(adapter, config)
        learned = sum(first_shard(s, shards) for s in beside)
        held += learned
        numbers = sum(kept(s, len(s) == 2) for s in beside)
    return StateBytes(
        weights=held * weight_bytes,
        gradients=learned * gradient_bytes,
        optimiser=numbers * optimiser_bytes,
        indices=8 * count_parameters(config, vocab_size).indices,
    )


Shapes = list[tuple[int, ...]]


def tensors(config: Llama, vocab_size: int) -> tuple[Shapes, Shapes, Shapes]:
    """Shapes of the maps of one block, of its other tensors, and of all that lies outside the blocks."""
    shape, maps, others = config.shape, [], []
    for _, o, i in projections(shape):
        found = config.shapes(o, i)
        # a kind's maps come first: the whole matrix, or its two factors
        whole = [s for s in found[:2] if len(s) == 2] if len(found) > 1 else found
        maps += whole
        others += found[len(whole) :]
    others += [(shape.hidden,)] * 2
    words = [(vocab_size, shape.hidden)] * (1 if config.tied else 2)
    return maps, others, [*words, (shape.hidden,)]


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
    config: Llama,
    vocab_size: int,
    tokens: int,
    *,
    bf16: bool,
    form: Form | None = None,
    recompute: bool = False,
) -> int:
    """Activations that one forward with losses keeps for the backward, in fp32 or under bf16 autocast.

    Per block and token: the input of each norm and its normalised value (fp32 always), the two norms' outputs,
    q, k, v (as many heads of each: shared ones are repeated) and the attention's output, four vectors of the inner
    width, and h of every factored projection; for the head, what its form of the loss keeps (None: the form that is
    chosen). Autocast adds a copy of the cast weights.
    With `recompute` every block keeps its input, and one block at a time all of it. Rotary tables and masks, which are
    smaller than 1 % in practice, are left out.
    """
    shape, counts = config.shape, count_parameters(config, vocab_size)
    number = 2 if bf16 else 4
    block = number * (6 * shape.hidden + 4 * shape.inter + between(config))
    block += 4 * (4 * shape.hidden + 2 + shape.heads)
    final = number * shape.hidden + 4 * (2 * shape.hidden + 1)
    kept_blocks = 1 if recompute else shape.layers
    inputs = 4 * shape.hidden * shape.layers if recompute else 0
    total = tokens * (kept_blocks * block + inputs + final)
    form = form or choose(vocab_size, tokens)
    total += loss_bytes(form, vocab_size, shape.hidden, tokens, number).kept
    if bf16:
        # the fused form casts the head anew where it needs it
        head = 0 if form == "fused" else vocab_size * shape.hidden
        total += 2 * (counts.projections * kept_blocks // shape.layers + head)
    return total + kept_blocks * sum(number * config.rebuilds(o, i) for _, o, i in projections(shape))


@dataclass(frozen=True, kw_only=True)
class PeakBytes:
    """What the fullest process of a training holds at once."""

    state: StateBytes
    sums: int  # of gradients, over micro-batches and processes
    gathered: int  # of other processes' shards
    activations: int
    losses: int  # logits of the rows that are worked on at once
    libraries: int  # Python and torch before the first tensor
    saved: int = 0  # the copy of the state that a checkpoint is written from

    @property
    def total(self) -> int:
        return (
            self.state.total + self.sums + self.gathered + self.activations + self.losses + self.libraries + self.saved
        )


LIBRARIES = 420 * 1024**2  # resident after the imports of a worker (torch 2.13 on a CPU)


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
    optimizer: Optimiser = ADAMW,
    adapter: Adapter | None = None,
    form: Form | None = None,
    save_aside: bool = False,
    libraries: int = LIBRARIES,
) -> PeakBytes:
    """Bytes of one process with `tokens` in a micro-batch and so many micro-batches of its own.

    Whole copies keep one sum of gradients for each level of the tree above the lowest (`stages.training.gradients`),
    and two flat vectors when there are several processes; shards add up in place. FSDP2 holds embedding, head and last
    norm whole from the forward to the end of the backward, and of the blocks the one that runs and the next.
    """
    counts = count_parameters(config, vocab_size)
    levels = max(0, micro_batches.bit_length() - 2) if shards == 1 else 0
    vectors = 2 if processes > 1 and shards == 1 else 0
    blocks = min(2, config.shape.layers)
    block = sum(size(s) for shapes in tensors(config, vocab_size)[:2] for s in shapes)
    outside = counts.embedding + counts.head + config.shape.hidden
    chosen = form or choose(vocab_size, tokens)
    state = state_bytes(config, vocab_size, shards=shards, optimizer=optimizer, adapter=adapter)
    learned = counts.total if adapter is None else adapter.count(config)
    return PeakBytes(
        state=state,
        sums=4 * learned * (levels + vectors),
        # weights and gradients, both whole
        gathered=4 * 2 * (outside + blocks * block) if shards > 1 else 0,
        activations=saved_bytes(config, vocab_size, tokens, bf16=bf16, recompute=recompute, form=chosen),
        losses=loss_bytes(chosen, vocab_size, config.shape.hidden, tokens, 2 if bf16 else 4).passing,
        libraries=libraries,
        saved=checkpoint_bytes(state, adapted=adapter is not None) if save_aside else 0,
    )


def checkpoint_bytes(state: StateBytes, *, adapted: bool) -> int:
    """Of a checkpoint: weights and what the optimiser keeps; of a model with an adapter the trained weights alone."""
    return (state.gradients if adapted else state.weights) + state.optimiser


def first_shard(shape: tuple[int, ...], shards: int) -> int:
    """Numbers of the first, largest chunk along axis 0."""
    return -(-shape[0] // shards) * size(shape[1:])
