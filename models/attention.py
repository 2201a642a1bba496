"""Rotary positions and causal attention, inside one document or across a packed row.

Leaves out grouped queries and key-value caches: models here are trained, and generate through their exported
form. Sources: RoFormer (Su et al. 2021) in the half-split layout of Hugging Face's Llama; torch's scaled dot
product attention.

Letters: b batch, t time, s time of the keys, h heads, e width of a head, d model width.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MakeLinear = Callable[[str, int, int], nn.Module]


def rotary_tables(length: int, head_width: int, theta: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines `[t, e]` in fp32.

    Computed per forward and not kept as a buffer: the cost is that of one row of activations, and a buffer
    would have to survive meta devices, dtype casts and checkpoints.
    """
    exponents_e = torch.arange(0, head_width, 2, dtype=torch.float32, device=device) / head_width
    times_t = torch.arange(length, dtype=torch.float32, device=device)
    angles_te = torch.outer(times_t, 1.0 / theta**exponents_e).repeat(1, 2)
    return angles_te.cos(), angles_te.sin()


def rotate(x_bhte: Tensor, cos_te: Tensor, sin_te: Tensor) -> Tensor:
    """Turn the pairs (i, i + e/2) by the angle of their position; returns the dtype given."""
    left, right = x_bhte.chunk(2, dim=-1)
    turned_bhte = torch.cat((-right, left), dim=-1)
    return x_bhte * cos_te.to(x_bhte.dtype) + turned_bhte * sin_te.to(x_bhte.dtype)


def document_mask(segments_bt: Tensor) -> Tensor:
    """`[b, 1, t, s]` bool: a token sees itself and the earlier tokens of its own document."""
    same_bts = segments_bt[:, :, None] == segments_bt[:, None, :]
    return same_bts.tril()[:, None]


def attend(q_bhte: Tensor, k_bhte: Tensor, v_bhte: Tensor, mask_bits: Tensor | None = None) -> Tensor:
    """Causal attention `[b, h, t, e]`; with `document_mask` it stays inside documents.

    Positions need no reset at a document's start, as rotary positions are relative.
    """
    if mask_bits is None:
        return F.scaled_dot_product_attention(q_bhte, k_bhte, v_bhte, is_causal=True)
    return F.scaled_dot_product_attention(q_bhte, k_bhte, v_bhte, attn_mask=mask_bits)


class Attention(nn.Module):
    """Multi-head self attention with unpacked projections: each keeps its own name, SVD and channels."""

    def __init__(self, hidden: int, heads: int, linear: MakeLinear) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = linear("q_proj", hidden, hidden)
        self.k_proj = linear("k_proj", hidden, hidden)
        self.v_proj = linear("v_proj", hidden, hidden)
        self.o_proj = linear("o_proj", hidden, hidden)

    def forward(self, x_btd: Tensor, cos_te: Tensor, sin_te: Tensor, mask: Tensor | None) -> Tensor:
        b, t, d = x_btd.shape
        q_bhte, k_bhte, v_bhte = (
            projection(x_btd).view(b, t, self.heads, d // self.heads).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        y_bhte = attend(rotate(q_bhte, cos_te, sin_te), rotate(k_bhte, cos_te, sin_te), v_bhte, mask)
        return self.o_proj(y_bhte.transpose(1, 2).reshape(b, t, d))
