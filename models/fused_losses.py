"""Token losses whose gradients are made in the forward, a block of logits at a time: nothing of width v is kept.

The gradient in the hidden states is kept for each token, so its factor may come later. That in the head is a sum over
tokens, which needs their factors at once: the caller gives the weight that each token will have, 1 where rows are not
weighted. When the backward brings other factors, up to one for all, the head's gradient is made again from the hidden
states, which costs another pass and changes no value.

Letters: n tokens, d model width, v vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.loss_choice import fused_rows
from models.losses import IGNORE, losses_and_slopes


def fused_losses(
    x_nd: Tensor,
    head_vd: Tensor,
    labels_n: Tensor,
    z_loss: float = 0.0,
    weights_n: Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Token losses `[n]`; `dtype`: of the matmuls, while both gradients are summed in the dtype of the head.

    `weights_n`: what the gradient of each token's loss will be, up to one factor for all.
    """
    needs_gradient = torch.is_grad_enabled() and (x_nd.requires_grad or head_vd.requires_grad)
    return FusedCrossEntropy.apply(x_nd, head_vd, labels_n, z_loss, weights_n, dtype or x_nd.dtype, needs_gradient)


class FusedCrossEntropy(torch.autograd.Function):
    """Use `fused_losses`."""

    @staticmethod
    def forward(
        ctx: Any,
        x_nd: Tensor,
        head_vd: Tensor,
        labels_n: Tensor,
        z_loss: float,
        weights_n: Tensor | None,
        dtype: torch.dtype,
        needs_gradient: bool,
    ) -> Tensor:
        valid_n = labels_n != IGNORE
        factors_n = valid_n.to(torch.float32) if weights_n is None else weights_n.where(valid_n, 0.0)
        losses_n, dx_nd, dhead_vd = passes(x_nd, head_vd, labels_n, z_loss, factors_n, dtype, needs_gradient)
        ctx.save_for_backward(x_nd, head_vd, labels_n, dx_nd, dhead_vd, factors_n)
        ctx.z_loss, ctx.dtype = z_loss, dtype
        return losses_n.masked_fill_(~valid_n, 0.0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_n: Tensor) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x_nd, head_vd, labels_n, dx_nd, dhead_vd, factors_n = ctx.saved_tensors
        grad_n = grad_n.where(labels_n != IGNORE, 0.0)
        common = common_factor(grad_n, factors_n)
        if common is None:
            _, _, dhead_vd = passes(x_nd, head_vd, labels_n, ctx.z_loss, grad_n, ctx.dtype, True)
        elif common != 1.0:
            dhead_vd = dhead_vd * common
        return (dx_nd * grad_n[:, None]).to(x_nd.dtype), dhead_vd, None, None, None, None, None


def common_factor(grad_n: Tensor, factors_n: Tensor) -> float | None:
    """c with grad = c factors in every bit, or None."""
    if not len(factors_n):
        return 1.0
    largest = factors_n.abs().argmax()
    c = (grad_n[largest] / factors_n[largest]).where(factors_n[largest] != 0, 1.0)
    same = (grad_n == factors_n * c).all()
    found, is_common = torch.stack([c, same.to(c.dtype)]).tolist()  # the device is waited for once
    return found if is_common else None


def passes(
    x_nd: Tensor,
    head_vd: Tensor,
    labels_n: Tensor,
    z_loss: float,
    factors_n: Tensor,
    dtype: torch.dtype,
    needs_gradient: bool,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Losses `[n]`, their gradients in x `[n, d]` before any factor, and the sum of factors times those in the head."""
    inputs_nd, weight_vd = x_nd.to(dtype), head_vd.to(dtype)
    wide, rows_at_once = torch.promote_types(dtype, torch.float32), fused_rows(len(head_vd))
    targets_n = labels_n.where(labels_n != IGNORE, 0)
    losses_n = x_nd.new_empty(len(x_nd), dtype=wide)
    dx_nd = torch.empty_like(inputs_nd) if needs_gradient else None
    dhead_vd = None
    for first in range(0, len(x_nd), rows_at_once):
        rows = slice(first, first + rows_at_once)
        logits_nv = torch.mm(inputs_nd[rows], weight_vd.T).to(wide)
        losses_n[rows], slopes_nv = losses_and_slopes(logits_nv, targets_n[rows], z_loss)
        if dx_nd is not None:
            slopes_nv = slopes_nv.to(dtype)
            torch.mm(slopes_nv, weight_vd, out=dx_nd[rows])
            scaled_nd = (inputs_nd[rows] * factors_n[rows, None]).to(dtype)
            if dhead_vd is None:
                dhead_vd = (slopes_nv.T @ scaled_nd).to(head_vd.dtype)
            elif dtype == dhead_vd.dtype:
                dhead_vd.addmm_(slopes_nv.T, scaled_nd)
            else:
                dhead_vd += slopes_nv.T @ scaled_nd
    return losses_n, dx_nd, dhead_vd
