"""Exact parameters and floating-point operations of a model, from its configuration alone; loads no torch. Bytes of a
training are `models.memory`.

Conventions, stated because tables differ in them:
- a multiply-add is 2 operations; a backward is twice the forward; norms, activations and softmax are not
  counted;
- attention is counted causally: 2 d (t + 1) per token and layer, forward, about half of the 4 d t of PaLM's
  appendix B;
- the tables of GaLore, SLTrain and LOST print `bytes = 6 parameters + 8 indices` in decimal GB: bf16 weights
  and two bf16 moments, no gradients, no activations (`table_bytes`).
"""

from __future__ import annotations

from collections.abc import Callable
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
    d, f, kv = shape.hidden, shape.inter, shape.kv_width
    return [
        Projection("self_attn.q_proj", d, d),
        Projection("self_attn.k_proj", kv, d),
        Projection("self_attn.v_proj", kv, d),
        Projection("self_attn.o_proj", d, d),
        Projection("mlp.gate_proj", f, d),
        Projection("mlp.up_proj", f, d),
        Projection("mlp.down_proj", d, f),
    ]


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """Trained numbers by place, and the int64 indices beside them. A tied head has none of its own."""

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
        head=0 if config.tied else vocab_size * shape.hidden,
        indices=shape.layers * sum(config.indices(o, i) for _, o, i in block),
    )


def parameter_names(config: Llama) -> list[str]:
    """The names of all parameters, those of the built module."""
    names = ["embed_tokens.weight"]
    for layer in range(config.shape.layers):
        for projection, o, i in projections(config.shape):
            # some projection may have fewer tensors: LOST without kept channels
            parts = zip(config.tensors, config.shapes(o, i), strict=False)
            names += [f"layers.{layer}.{projection}.{part}" for part, _ in parts]
        names += [f"layers.{layer}.{norm}.weight" for norm in ("input_layernorm", "post_attention_layernorm")]
    return [*names, "norm.weight", *([] if config.tied else ["lm_head.weight"])]


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


def count_flops(config: Llama, vocab_size: int, length: int) -> Flops:
    """Forward operations per token, averaged over a full row of `length` tokens."""
    shape = config.shape
    return Flops(
        projections=shape.layers * sum(config.flops(o, i) for _, o, i in projections(shape)),
        head=2 * shape.hidden * vocab_size,
        # place t reads t + 1 keys and values, 4 d each: 2 d (T + 1) on average over a row of length T
        attention=shape.layers * 2 * shape.hidden * (length + 1),
    )


def table_bytes(config: Llama, vocab_size: int = 32_000) -> int:
    """Bytes by the convention of the papers' tables (see the top of this file)."""
    counts = count_parameters(config, vocab_size)
    return 6 * counts.total + 8 * counts.indices


def rank_for_parameters(config: Llama, projection_parameters: int) -> int:
    """The rank whose projections hold nearest to, and at most, this many parameters; 0 where rank 1 holds
    more.

    For comparisons at equal size: embeddings dominate small models, so the projections are compared.
    """
    return _largest_rank(config, lambda one: count_parameters(one, 1).projections, projection_parameters)


def rank_for_flops(config: Llama, projection_flops: int) -> int:
    """The rank whose projections take nearest to, and at most, so many operations of a forward per token; 0 where
    rank 1 takes more. Matrices that are rebuilt in each forward are left out, as their cost does not grow with tokens.
    """
    return _largest_rank(config, lambda one: count_flops(one, 1, 1).projections, projection_flops)


def _largest_rank(config: Llama, measure: Callable[[Llama], int], limit: int) -> int:
    """Both measures rise with the rank."""
    low, high = 0, config.shape.narrowest
    while low < high:
        middle = (low + high + 1) // 2
        if measure(replace(config, **{"rank": middle})) <= limit:
            low = middle
        else:
            high = middle - 1
    return low


def size(shape: tuple[int, ...]) -> int:
    """Numbers in a tensor of this shape."""
    count = 1
    for axis in shape:
        count *= axis
    return count
