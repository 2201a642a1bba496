"""A Llama whose projections are made by the caller: dense, LOST, or a control.

Names follow Hugging Face's Llama without its `model.` prefix, so that a dense export renames and copies
nothing else. Leaves out parallelism, compilation and recomputation: the trainer wraps `layers` block by
block. Sources: Touvron et al. 2023; Shazeer 2020 (SwiGLU); Zhang and Sennrich 2019 (RMSNorm).

Letters: b batch, t time, d model width, f inner width, v vocabulary.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention import Attention, MakeLinear, document_mask, rotary_tables
from models.losses import token_losses
from models.presets import Llama, Shape


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
        self.self_attn = Attention(shape.hidden, shape.heads, linear)
        self.post_attention_layernorm = RMSNorm(shape.hidden, norm_eps)
        self.mlp = SwiGLU(shape.hidden, shape.inter, linear)

    def forward(self, x_btd: Tensor, cos_te: Tensor, sin_te: Tensor, mask: Tensor | None) -> Tensor:
        x_btd = x_btd + self.self_attn(self.input_layernorm(x_btd), cos_te, sin_te, mask)
        return x_btd + self.mlp(self.post_attention_layernorm(x_btd))


class LlamaModel(nn.Module):
    """Structure only: parameters hold nothing meaningful until `models.build.build` fills them.

    `config`, `vocab_size` and `max_length` stay on the module, for export and for model files.
    """

    def __init__(self, config: Llama, vocab_size: int, max_length: int, linear: MakeLinear) -> None:
        super().__init__()
        shape = config.shape
        self.config, self.vocab_size, self.max_length = config, vocab_size, max_length
        self.embed_tokens = nn.Embedding(vocab_size, shape.hidden)
        self.layers = nn.ModuleList(Block(shape, config.norm_eps, linear) for _ in range(shape.layers))
        self.norm = RMSNorm(shape.hidden, config.norm_eps)
        self.lm_head = nn.Linear(shape.hidden, vocab_size, bias=False)

    def forward(
        self,
        ids_bt: Tensor,
        labels_bt: Tensor | None = None,
        segments_bt: Tensor | None = None,
        *,
        z_loss: float = 0.0,
        chunk: int | None = None,
    ) -> Tensor:
        """Token losses `[b, t]` fp32 in nats when labels are given, else logits `[b, t, v]`.

        Losses come out of `forward` because FSDP2 gathers parameters in the hooks of `forward` alone. Labels
        are already shifted (`labels[t]` is the token after `ids[t]`); where they are `IGNORE` the loss is 0.
        `segments_bt`: document of each token; attention then stays inside documents. `z_loss`, `chunk`: see
        `models.losses.token_losses`.
        """
        t = ids_bt.shape[1]
        head_width = self.config.shape.hidden // self.config.shape.heads
        cos_te, sin_te = rotary_tables(t, head_width, self.config.rope_theta, ids_bt.device)
        mask = None if segments_bt is None else document_mask(segments_bt)
        x_btd = self.embed_tokens(ids_bt)
        for block in self.layers:
            x_btd = block(x_btd, cos_te, sin_te, mask)
        x_btd = self.norm(x_btd)
        if labels_bt is None:
            return self.lm_head(x_btd)
        return token_losses(x_btd, self.lm_head.weight, labels_bt, z_loss=z_loss, chunk=chunk)
