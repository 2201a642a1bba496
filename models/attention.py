"""Rotary positions and attention: causal, bidirectional or prefix, across a row or inside its documents, with a cache.

What a token may see is worked out once per forward (`see`) and used by all layers. Inside documents causal attention
runs in groups of documents of about one length (`models.grouped_attention`), the other kinds as one call for each
document; neither does work between documents. In short rows a mask is faster. A compiled model takes blocks of a mask
on a GPU (`models.block_attention`), a mask elsewhere. Sources: RoFormer (Su et al. 2021) in the
half-split layout of Hugging Face's Llama; torch's scaled dot product attention; grouped queries (Ainslie et al. 2023).

Letters: b batch, t time, s time of the keys, h heads, g heads of keys and values, e width of a head, d model width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.batch import Batch
from models.block_attention import LEAST_HEAD, attend_in_blocks, block_mask
from models.grouped_attention import Groups, attend_in_groups, groups_of
from models.shapes import Shape

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask

MakeLinear = Callable[[str, int, int], nn.Module]

# Tokens of a row from which the work of a mask, which grows with the square of the row, is more than that of groups or
# calls on a CPU (docs/training.md); a GPU has no fast kernel for masks, so it takes none.
LONG_ROW = 1024
# Mean tokens of a document from which each has a call of its own, where groups cannot be.
LONG_DOCUMENT = 96


def rotary_tables(
    length: int, head_width: int, theta: float, device: torch.device, first: int = 0
) -> tuple[Tensor, Tensor]:
    """Cosines and sines `[t, e]` in fp32 of the positions from `first` on.

    Computed per forward and not kept as a buffer: the cost is that of one row of activations, and a buffer
    would have to survive meta devices, dtype casts and checkpoints.
    """
    exponents_e = torch.arange(0, head_width, 2, dtype=torch.float32, device=device) / head_width
    times_t = torch.arange(first, first + length, dtype=torch.float32, device=device)
    angles_te = torch.outer(times_t, 1.0 / theta**exponents_e).repeat(1, 2)
    return angles_te.cos(), angles_te.sin()


def rotate(x_bhte: Tensor, cos_te: Tensor, sin_te: Tensor) -> Tensor:
    """Turn the pairs (i, i + e/2) by the angle of their position; returns the dtype given."""
    left, right = x_bhte.chunk(2, dim=-1)
    turned_bhte = torch.cat((-right, left), dim=-1)
    return x_bhte * cos_te.to(x_bhte.dtype) + turned_bhte * sin_te.to(x_bhte.dtype)


class View(NamedTuple):
    """What each token may see. At most one is in use; none means bidirectional attention over whole rows.

    causal     itself and all earlier tokens of its row
    mask_bits  bool [b, 1, t, s], true where the token at t sees the one at s
    pieces     (row, start, end, length of its prefix) of every document: attention inside each alone
    groups     documents by length: causal attention inside each alone
    blocks     the mask by blocks, for a compiled kernel
    """

    causal: bool = False
    mask_bits: Tensor | None = None
    pieces: tuple[tuple[int, int, int, int], ...] | None = None
    groups: Groups | None = None
    blocks: BlockMask | None = None


def see(batch: Batch, *, masks_only: bool = False, head_width: int = LEAST_HEAD) -> View:
    """The view of a batch. `masks_only`: for a compiled model, whose code may not depend on where documents lie."""
    segments_bt, causal = batch.segments_bt, batch.attention == "causal"
    if segments_bt is None and batch.attention != "prefix":
        return View(causal=causal)
    # torch has no backward of blocks for a CPU
    if masks_only and batch.ids_bt.device.type == "cuda" and head_width >= LEAST_HEAD:
        return View(blocks=block_mask(batch))
    if segments_bt is not None and not masks_only:
        on_gpu, long = segments_bt.device.type != "cpu", segments_bt.shape[1] >= LONG_ROW
        pieces = batch.segment_runs() if on_gpu or long else ()
        if causal and pieces:
            return View(groups=groups_of(pieces, segments_bt.shape[1], segments_bt.device))
        if pieces and (on_gpu or segments_bt.numel() >= LONG_DOCUMENT * len(pieces)):
            prefix_bt = batch.prefix_bt if batch.attention == "prefix" else None
            return View(
                pieces=tuple(
                    (row, start, end, _prefix(prefix_bt, causal, row, start, end)) for row, start, end in pieces
                )
            )
    return View(mask_bits=view_mask(batch))


def _prefix(prefix_bt: Tensor | None, causal: bool, row: int, start: int, end: int) -> int:
    if prefix_bt is not None:
        return int(prefix_bt[row, start:end].sum())
    return 0 if causal else end - start


def view_mask(batch: Batch) -> Tensor:
    """`[b, 1, t, s]` bool of what each token sees: in its own document when attention is cut, else in its row."""
    b, t = batch.ids_bt.shape
    seen_bts = torch.ones(b, t, t, dtype=torch.bool, device=batch.ids_bt.device)
    if batch.attention != "bidirectional":
        seen_bts = seen_bts.tril()
    if batch.attention == "prefix":
        assert batch.prefix_bt is not None, "prefix attention without a prefix"
        both_bts = batch.prefix_bt[:, :, None] & batch.prefix_bt[:, None, :]
        if batch.documents_bt is not None:
            # a prefix is a document's own: no place looks ahead into the next one
            both_bts = both_bts & (batch.documents_bt[:, :, None] == batch.documents_bt[:, None, :])
        seen_bts = seen_bts | both_bts
    if batch.segments_bt is not None:
        seen_bts = seen_bts & (batch.segments_bt[:, :, None] == batch.segments_bt[:, None, :])
    return seen_bts[:, None]


def attend(q_bhte: Tensor, k_bhse: Tensor, v_bhse: Tensor, view: View) -> Tensor:
    """Attention `[b, h, t, e]` under a view.

    Positions need no reset at a document's start, as rotary positions are relative.
    """
    if view.groups is not None:
        return attend_in_groups(q_bhte, k_bhse, v_bhse, view.groups)
    if view.blocks is not None:
        return attend_in_blocks(q_bhte, k_bhse, v_bhse, view.blocks)
    if view.pieces is None:
        return F.scaled_dot_product_attention(q_bhte, k_bhse, v_bhse, attn_mask=view.mask_bits, is_causal=view.causal)
    parts = []
    for row, start, end, prefix in view.pieces:
        q, k, v = (x_bhte[row : row + 1, :, start:end] for x_bhte in (q_bhte, k_bhse, v_bhse))
        if 0 < prefix < end - start:
            seen_ts = torch.ones(end - start, end - start, dtype=torch.bool, device=q.device).tril()
            seen_ts[:prefix, :prefix] = True
            parts.append(F.scaled_dot_product_attention(q, k, v, attn_mask=seen_ts))
        else:
            parts.append(F.scaled_dot_product_attention(q, k, v, is_causal=not prefix))
    b, h, t, e = q_bhte.shape
    return torch.cat(parts, dim=2).view(h, b, t, e).transpose(0, 1)


class Cache:
    """Keys and values of the tokens so far, for writing one token after another; `[b, g, length, e]` in each layer."""

    def __init__(self, shape: Shape, rows: int, length: int, like: Tensor) -> None:
        held = (rows, shape.kv_heads, length, shape.head_width)
        self.keys = [like.new_empty(held) for _ in range(shape.layers)]
        self.values = [like.new_empty(held) for _ in range(shape.layers)]
        self.filled = 0  # places written so far

    def put(self, layer: int, k_bgte: Tensor, v_bgte: Tensor) -> tuple[Tensor, Tensor]:
        """Write a layer's new keys and values after the `filled` ones; return all of that layer."""
        end = self.filled + k_bgte.shape[2]
        self.keys[layer][:, :, self.filled : end] = k_bgte
        self.values[layer][:, :, self.filled : end] = v_bgte
        return self.keys[layer][:, :, :end], self.values[layer][:, :, :end]


class Attention(nn.Module):
    """Self attention with unpacked projections: each keeps its own name, SVD and channels."""

    def __init__(self, shape: Shape, linear: MakeLinear) -> None:
        super().__init__()
        self.head_width, self.shared_by = shape.head_width, shape.heads // shape.kv_heads
        self.q_proj = linear("q_proj", shape.hidden, shape.hidden)
        self.k_proj = linear("k_proj", shape.hidden, shape.kv_width)
        self.v_proj = linear("v_proj", shape.hidden, shape.kv_width)
        self.o_proj = linear("o_proj", shape.hidden, shape.hidden)

    def forward(
        self, x_btd: Tensor, cos_te: Tensor, sin_te: Tensor, view: View, cache: Cache | None = None, layer: int = 0
    ) -> Tensor:
        b, t, d = x_btd.shape
        q_bhte, k_bgte, v_bgte = (
            projection(x_btd).view(b, t, -1, self.head_width).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        q_bhte, k_bgte = rotate(q_bhte, cos_te, sin_te), rotate(k_bgte, cos_te, sin_te)
        if cache is not None:
            k_bgte, v_bgte = cache.put(layer, k_bgte, v_bgte)
        y_bhte = attend(q_bhte, self._repeated(k_bgte), self._repeated(v_bgte), view)
        return self.o_proj(y_bhte.transpose(1, 2).reshape(b, t, d))

    def _repeated(self, x_bgse: Tensor) -> Tensor:
        """Shared heads once for each head that asks them, `[b, h, s, e]`: so every view, and every kernel of torch,
        serves them too. The cache holds them once.
        """
        return x_bgse if self.shared_by == 1 else x_bgse.repeat_interleave(self.shared_by, dim=1)
