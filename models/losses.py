"""Token losses from hidden states, and their sums by row or by document.

The loss of training is a sum all the way: tokens -> samples -> one division by a global total
(`models.reweight`). So nothing here takes a mean. Three forms of the same cross-entropy; a fourth is
`models.fused_losses`, and `models.loss_choice` chooses among them:

- `full_losses` keeps the logits and lets autograd do the rest: the reference;
- `LinearCrossEntropy` overwrites the logits with softmax minus one-hot and keeps those, in the dtype of the
  matmul: any weight may arrive later in the backward, as a row's factor commutes with both matmuls;
- `chunked_losses` keeps hidden states only and recomputes logits in the backward: least memory, one more
  matmul.

With `z_loss` > 0 the gradient includes that of `z_loss * logsumexp^2` (Chowdhery et al. 2022, section 5), while the
value stays the plain cross-entropy, so that scores and reports need no second loss.

Letters: b batch, t time, d model width, v vocabulary, n tokens of the batch (b t).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from models.loss_choice import BLOCK

IGNORE = -100


def full_losses(x_nd: Tensor, head_vd: Tensor, labels_n: Tensor, z_loss: float = 0.0) -> Tensor:
    """Token losses `[n]` through logits that autograd keeps."""
    logits_nv = F.linear(x_nd, head_vd)
    logits_nv = logits_nv.to(torch.promote_types(logits_nv.dtype, torch.float32))
    losses_n = F.cross_entropy(logits_nv, labels_n, ignore_index=IGNORE, reduction="none")
    if z_loss == 0.0:
        return losses_n
    square_n = torch.where(labels_n == IGNORE, 0.0, z_loss * logits_nv.logsumexp(-1).square())
    return losses_n + square_n - square_n.detach()


def chunked_losses(x_nd: Tensor, head_vd: Tensor, labels_n: Tensor, z_loss: float, chunk: int) -> Tensor:
    """Token losses `[n]`; at most `chunk` rows of logits are alive, forward or backward."""
    parts = [
        checkpoint(full_losses, x, head_vd, labels, z_loss, use_reentrant=False, preserve_rng_state=False)
        for x, labels in zip(x_nd.split(chunk), labels_n.split(chunk), strict=True)
    ]
    return torch.cat(parts)


class LinearCrossEntropy(torch.autograd.Function):
    """Token losses `[n]` that keep `P = softmax - one-hot` `[n, v]` in the dtype of `x`, and no logits.

    With g the gradient of the losses, `dx = g (P W)` and `dW = P^T (g x)`: g scales rows of width d, never of
    v.
    """

    BLOCK = BLOCK  # tokens; 512 x 32000 is 64 MB in fp32, and larger blocks were no faster

    @staticmethod
    def forward(ctx: Any, x_nd: Tensor, head_vd: Tensor, labels_n: Tensor, z_loss: float = 0.0) -> Tensor:
        kept_nv = torch.mm(x_nd, head_vd.T)
        wide = torch.promote_types(x_nd.dtype, torch.float32)
        losses_n = x_nd.new_empty(len(x_nd), dtype=wide)
        valid_n = labels_n != IGNORE
        targets_n = labels_n.where(valid_n, 0)
        for start in range(0, len(x_nd), LinearCrossEntropy.BLOCK):
            rows = slice(start, start + LinearCrossEntropy.BLOCK)
            losses_n[rows], kept_nv[rows] = losses_and_slopes(kept_nv[rows].to(wide), targets_n[rows], z_loss)
        ctx.save_for_backward(x_nd, head_vd, kept_nv, valid_n)
        return losses_n.masked_fill_(~valid_n, 0.0)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad_n: Tensor
    ) -> tuple[Tensor | None, Tensor | None, None, None]:
        x_nd, head_vd, kept_nv, valid_n = ctx.saved_tensors
        # the factors keep their own precision: one for all rows, rounded to bf16, would scale the gradient
        g_n1 = grad_n.masked_fill(~valid_n, 0.0)[:, None]
        need_x, need_head, *_ = ctx.needs_input_grad
        dx_nd = ((kept_nv @ head_vd) * g_n1).to(x_nd.dtype) if need_x else None
        dhead_vd = kept_nv.T @ (x_nd * g_n1).to(x_nd.dtype) if need_head else None
        return dx_nd, dhead_vd, None, None


def losses_and_slopes(logits_nv: Tensor, targets_n: Tensor, z_loss: float) -> tuple[Tensor, Tensor]:
    """Cross-entropy `[n]`, and the gradient of it and of the z-loss in the logits `[n, v]`."""
    logp_nv = logits_nv.log_softmax(-1)
    target_n1 = targets_n[:, None]
    losses_n = -logp_nv.gather(-1, target_n1).squeeze(-1)
    if z_loss:
        lse_n1 = logits_nv[:, :1] - logp_nv[:, :1]
        p_nv = logp_nv.exp_().mul_(1.0 + 2.0 * z_loss * lse_n1)
    else:
        p_nv = logp_nv.exp_()
    p_nv.scatter_add_(-1, target_n1, p_nv.new_full((1, 1), -1.0).expand_as(target_n1))
    return losses_n, p_nv


def sum_rows(losses_bt: Tensor, labels_bt: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of losses and number of tokens of every row, `[b]` and `[b]`."""
    return losses_bt.sum(-1), (labels_bt != IGNORE).sum(-1)


def sum_documents(losses_bt: Tensor, labels_bt: Tensor, segments_bt: Tensor, documents: int) -> tuple[Tensor, Tensor]:
    """Sum of losses and number of tokens by document, `[documents]` each; `segments_bt` holds 0..documents-1.

    Ids need not be sorted, so a batch may number its documents through all rows.
    """
    sums = losses_bt.new_zeros(documents).index_add(0, segments_bt.flatten(), losses_bt.flatten())
    valid_n = (labels_bt != IGNORE).flatten().to(torch.int64)
    counts = valid_n.new_zeros(documents).index_add(0, segments_bt.flatten(), valid_n)
    return sums, counts
