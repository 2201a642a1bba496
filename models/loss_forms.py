"""The forms of the cross-entropy behind one call; which of them serves where is `models.loss_choice`."""

from __future__ import annotations

import torch
from torch import Tensor

from models.fused_losses import fused_losses
from models.loss_choice import BLOCK, Form
from models.losses import LinearCrossEntropy, chunked_losses, full_losses


def token_losses(
    x_btd: Tensor, head_vd: Tensor, labels_bt: Tensor, *, form: Form, z_loss: float = 0.0, chunk: int = BLOCK
) -> Tensor:
    """Cross-entropy per token, `[b, t]` fp32 [nats], 0 where the label is `IGNORE`; `z_loss`: see `models.losses`.

    Under autocast the matmuls run in its dtype, and the gradients of fp32 weights are fp32.
    """
    x_nd, labels_n = x_btd.flatten(0, 1), labels_bt.flatten()
    device = x_nd.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x_nd.dtype
    if form == "fused":
        losses_n = fused_losses(x_nd, head_vd, labels_n, z_loss, dtype=dtype)
    else:
        x_nd, head_vd = x_nd.to(dtype), head_vd.to(dtype)
        if form == "kept":
            losses_n = LinearCrossEntropy.apply(x_nd, head_vd, labels_n, z_loss)
        elif form == "full":
            losses_n = full_losses(x_nd, head_vd, labels_n, z_loss)
        else:
            losses_n = chunked_losses(x_nd, head_vd, labels_n, z_loss, chunk)
    # not a view: in-place arithmetic on a view of a module's output drops FSDP2's backward hook
    return losses_n.view_as(labels_bt).clone()
