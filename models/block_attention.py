"""Attention under a mask that a compiled kernel skips in blocks, for compiled models on a GPU.

torch's FlexAttention (Dong et al. 2024, arXiv 2412.05496) asks a rule which key a query sees, leaves out blocks of 128
keys that none of 128 queries sees, and needs no memory of the square of the row. A dense mask has neither. The rule of
a batch is a closure over its tensors, so a compiled block serves every batch: its code does not depend on where
documents lie.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask

    from models.batch import Batch

LEAST_HEAD = 16  # width of a head, the least of torch's kernel


def block_mask(batch: Batch) -> BlockMask:
    """The blocks of `models.attention.view_mask`, without the mask itself."""
    rows, t = batch.ids_bt.shape
    device = batch.ids_bt.device
    return _maker(device.type)(_rule(batch), rows, None, t, t, device=device)


def _rule(batch: Batch) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """Whether the query at q of row b sees the key at k, in any head."""
    documents_bt, segments_bt, attention = batch.documents_bt, batch.segments_bt, batch.attention
    prefix_bt = batch.prefix_bt if attention == "prefix" else None

    def sees(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
        seen = q >= (0 if attention == "bidirectional" else k)
        if prefix_bt is not None:
            both = prefix_bt[b, q] & prefix_bt[b, k]
            if documents_bt is not None:
                both = both & (documents_bt[b, q] == documents_bt[b, k])
            seen = seen | both
        if segments_bt is not None:
            seen = seen & (segments_bt[b, q] == segments_bt[b, k])
        return seen

    return sees


@cache
def _maker(device: str) -> Callable[..., Any]:
    from torch.nn.attention.flex_attention import create_block_mask

    # not compiled it makes the whole mask on its way, which a CPU's tests can afford
    return create_block_mask if device == "cpu" else torch.compile(create_block_mask)


def attend_in_blocks(q_bhte: Tensor, k_bhse: Tensor, v_bhse: Tensor, blocks: BlockMask) -> Tensor:
    """Attention `[b, h, t, e]` under the rule of `blocks`."""
    from torch.nn.attention.flex_attention import flex_attention

    y_bhte = flex_attention(q_bhte, k_bhse, v_bhse, block_mask=blocks)
    assert isinstance(y_bhte, Tensor)
    return y_bhte
