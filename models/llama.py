"""A Llama whose projections the caller constructs: dense, LOST, or a control.

Names follow Hugging Face's Llama without its `model.` prefix, so that a dense export renames and copies
nothing else. Leaves out parallelism and compilation: the trainer wraps `layers` block by block. Sources: Touvron et
al. 2023; Shazeer 2020 (SwiGLU); Zhang and Sennrich 2019 (RMSNorm).

Letters: b batch, t time, d model width, f inner width, v vocabulary.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from models.attention import Attention, Cache, MakeLinear, View, rotary_tables, see
from models.batch import Batch
from models.dropout import Dropout
from models.objective import Objective, PieceValues, SampleLosses, TokenLosses
from models.presets import Llama, Shape

Readout = Objective | Literal["logits", "states", "mean", "last"]


class RMSNorm(nn.Module):
    """Root mean square normalisation over the last axis."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x_btd: Tensor) -> Tensor:
        # a weight of another dtype than the activations takes torch's slow decomposed path
        y_btd = F.rms_norm(x_btd, self.weight.shape, self.weight.to(x_btd.dtype), self.eps)
        device = x_btd.device.type
        if torch.is_autocast_enabled(device):
            # one cast here, where autocast would make and keep one for each projection that reads it
            y_btd = y_btd.to(torch.get_autocast_dtype(device))
        return y_btd


class SwiGLU(nn.Module):
    """`down(silu(gate(x)) up(x))`."""

    def __init__(self, hidden: int, inter: int, linear: MakeLinear) -> None:
        super().__init__()
        self.gate_proj = linear("gate_proj", hidden, inter)
        self.up_proj = linear("up_proj", hidden, inter)
        self.down_proj = linear("down_proj", inter, hidden)

    def forward(self, x_btd: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x_btd)) * self.up_proj(x_btd))


class Block(nn.Module):
    """Attention and SwiGLU, each behind a norm and beside a residual path."""

    def __init__(self, shape: Shape, norm_eps: float, linear: MakeLinear) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(shape.hidden, norm_eps)
        self.self_attn = Attention(shape, linear)
        self.post_attention_layernorm = RMSNorm(shape.hidden, norm_eps)
        self.mlp = SwiGLU(shape.hidden, shape.inter, linear)

    def forward(
        self, x_btd: Tensor, cos_te: Tensor, sin_te: Tensor, view: View, cache: Cache | None = None, layer: int = 0,
        dropout: Dropout | None = None,
    ) -> Tensor:  # fmt: skip
        seen_btd = self.self_attn(self.input_layernorm(x_btd), cos_te, sin_te, view, cache, layer)
        x_btd = x_btd + (seen_btd if dropout is None else dropout.of(seen_btd, layer, "attention"))
        fed_btd = self.mlp(self.post_attention_layernorm(x_btd))
        return x_btd + (fed_btd if dropout is None else dropout.of(fed_btd, layer, "mlp"))


class LlamaModel(nn.Module):
    """Structure only: parameters hold nothing meaningful until `models.build.build` fills them.

    `config`, `vocab_size` and `max_length` stay on the module, for export and for model files.
    """

    def __init__(self, config: Llama, vocab_size: int, max_length: int, linear: MakeLinear) -> None:
        super().__init__()
        shape = config.shape
        self.config, self.vocab_size, self.max_length = config, vocab_size, max_length
        self.adapter: object = None  # what is trained beside the frozen model (`models.adapter.adapter_of`)
        self.base: str | None = None  # SHA-256 of the frozen model's file
        self.recompute = False  # keep the inputs of blocks alone, and run each again in the backward
        self.own: nn.Module | None = None  # the numbers of an objective (`models.own_numbers`)
        self.compiled = False  # the blocks are compiled: what runs may not depend on where documents lie
        self.embed_tokens = nn.Embedding(vocab_size, shape.hidden)
        self.layers = nn.ModuleList(Block(shape, config.norm_eps, linear) for _ in range(shape.layers))
        self.norm = RMSNorm(shape.hidden, config.norm_eps)
        # no second name for one tensor: state dicts, shards and files would each have to know of it
        self.lm_head = None if config.tied else nn.Linear(shape.hidden, vocab_size, bias=False)

    @property
    def head_vd(self) -> Tensor:
        """The weight of the head: its own, or the embedding's."""
        return self.embed_tokens.weight if self.lm_head is None else self.lm_head.weight

    def forward(
        self, batch: Batch, readout: Readout, cache: Cache | None = None
    ) -> Tensor | TokenLosses | SampleLosses | PieceValues:
        """Run the rows and read out one of these:

        - an objective: its `TokenLosses`, `[b, t]` each, of whole samples its `SampleLosses`, or of a whole batch the
          `PieceValues`;
        - "logits" `[b, t, v]`;
        - "states": the last hidden states, normalised, `[b, t, d]`;
        - "mean", "last": one state for each row `[b, d]`, the mean over its used places or the last of them.

        Everything comes out of `forward` because FSDP2 gathers parameters in the hooks of `forward` alone. With a
        cache the ids are those that follow its tokens.
        """
        ids_bt = batch.ids_bt
        first, width = 0 if cache is None else cache.filled, self.config.shape.head_width
        cos_te, sin_te = rotary_tables(ids_bt.shape[1], width, self.config.rope_theta, ids_bt.device, first)
        # a single new token sees all that is cached
        alone = cache is not None and ids_bt.shape[1] == 1
        view = View() if alone else see(batch, masks_only=self.compiled, head_width=width)
        x_btd = self.embed_tokens(ids_bt)
        if batch.noise is not None:
            assert batch.documents_bt is not None, "noise by the length of documents, in a batch that knows none"
            x_btd = x_btd + batch.noise.drawn(batch.documents_bt, x_btd.shape[-1])
        for layer, block in enumerate(self.layers):
            if self.recompute and torch.is_grad_enabled():
                x_btd = checkpoint(
                    block, x_btd, cos_te, sin_te, view, None, layer, batch.dropout, use_reentrant=False,
                    preserve_rng_state=False,
                )  # fmt: skip
            else:
                x_btd = block(x_btd, cos_te, sin_te, view, cache, layer, batch.dropout)
        if cache is not None:
            cache.filled += ids_bt.shape[1]
        x_btd = self.norm(x_btd)
        if isinstance(readout, Objective):
            own = {} if self.own is None else dict(self.own.named_parameters())
            return readout.with_numbers(own).losses(x_btd, self.head_vd, batch)
        if readout == "logits":
            return F.linear(x_btd, self.head_vd)
        return x_btd.clone() if readout == "states" else pooled(x_btd, batch, readout)


def pooled(x_btd: Tensor, batch: Batch, how: Literal["mean", "last"]) -> Tensor:
    """One state for each row: the mean over its used places (`documents_bt` above 0), or the last of them."""
    used_bt = torch.ones_like(batch.ids_bt) if batch.documents_bt is None else (batch.documents_bt > 0).long()
    counts_b = used_bt.sum(1)
    if how == "last":
        return x_btd[torch.arange(len(x_btd), device=x_btd.device), (counts_b - 1).clamp_min(0)]
    return (x_btd * used_bt[:, :, None]).sum(1) / counts_b.clamp_min(1)[:, None]
