"""The arithmetic of EMO: the earth mover's distance to the target beside the cross-entropy (Ren et al., ICLR 2024,
arXiv 2310.04691).

With q the predicted distribution, y the target and E embeddings of unit length, the cost of moving mass from token v to
y is `1 - <E_v, E_y>`. For a one-hot target the distance is a sum, and so is its gradient in the logits z:

    D = sum_v q_v (1 - <E_v, E_y>)        dD/dz_v = q_v (1 - <E_v, E_y> - D)

No factor 1/q_y stands in that gradient, so D alone says little about a rare target; the paper adds the cross-entropy C,
with a detached ratio (sg) that brings both to one scale:

    mode 1    (C + sg(C / D) D) / 2        the value is that of C
    mode 2    D + sg(D / C) C              the value is twice that of D

The authors' four programs differ in two details. `clamp` bounds the ratio of mode 1 (their latest release: 3).
`target_in_cost` adds q_y to the *value* of D: it leaves the gradient of D as it is and only lowers the ratio, as the
clamp does. Do not start from random weights: with random embeddings D is `1 - q_y`, whose gradient vanishes exactly
where the model is bad.

Letters: n tokens, v vocabulary, d model width, e width of the cost embeddings.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.losses import IGNORE, LinearCrossEntropy

SMALLEST = 1e-10  # denominator of a ratio, and length of a zero row of padded vocabulary


class Mixing(Protocol):
    """How the distance is mixed with the cross-entropy: the fields of `models.objectives.emo.Emo`."""

    @property
    def mode(self) -> int: ...
    @property
    def share(self) -> float: ...
    @property
    def clamp(self) -> float | None: ...
    @property
    def target_in_cost(self) -> bool: ...


def unit_rows(embedding_ve: Tensor) -> Tensor:
    """Rows of unit length in fp32, detached; a zero row stays zero, so its cost is 1 to every token."""
    rows = embedding_ve.detach().float()
    return rows / rows.norm(dim=-1, keepdim=True).clamp_min(SMALLEST)


def emo_losses(
    x_nd: Tensor, head_vd: Tensor, labels_n: Tensor, cost_ve: Tensor, config: Mixing
) -> tuple[Tensor, Tensor]:
    """(loss, cross-entropy) per token, both fp32 `[n]` [nats], 0 where the label is `IGNORE`.

    The second is detached: weights of samples are taken from it. `cost_ve`: rows of unit length (`unit_rows`), those
    of `head_vd` itself (the paper's adaptive cost) or of another model of the same vocabulary (its fixed cost).
    """
    if config.share == 0.0:
        losses_n = LinearCrossEntropy.apply(x_nd, head_vd, labels_n)
        return losses_n, losses_n.detach()
    return LinearEmo.apply(x_nd, head_vd, labels_n, cost_ve, config)


class LinearEmo(torch.autograd.Function):
    """Keeps the gradient in the logits `[n, v]` in place of the logits, as `LinearCrossEntropy` does.

    The costs of a block are one matmul of the head's size, forward only; nothing else of that size is computed.
    """

    @staticmethod
    def forward(
        ctx: Any, x_nd: Tensor, head_vd: Tensor, labels_n: Tensor, cost_ve: Tensor, config: Mixing
    ) -> tuple[Tensor, Tensor]:
        kept_nv = torch.mm(x_nd, head_vd.T)
        wide = torch.promote_types(x_nd.dtype, torch.float32)
        losses_n, entropies_n = x_nd.new_empty((2, len(x_nd)), dtype=wide)
        valid_n = labels_n != IGNORE
        targets_n = labels_n.where(valid_n, 0)
        cost_ve = cost_ve.to(wide)
        for start in range(0, len(x_nd), LinearCrossEntropy.BLOCK):
            rows = slice(start, start + LinearCrossEntropy.BLOCK)
            target_n1 = targets_n[rows, None]
            logq_nv = kept_nv[rows].to(wide).log_softmax(-1)
            entropy_n1 = -logq_nv.gather(-1, target_n1)
            q_nv = logq_nv.exp_()
            near_nv = cost_ve[targets_n[rows]] @ cost_ve.T
            expected_n1 = (q_nv * near_nv).sum(-1, keepdim=True)
            distance_n1 = 1.0 - expected_n1
            pull_nv = near_nv.neg_().add_(expected_n1).mul_(q_nv)  # gradient of the distance
            if config.target_in_cost:
                distance_n1 = distance_n1 + q_nv.gather(-1, target_n1)
            loss_n1, entropy_factor, distance_factor = mixture(config, entropy_n1, distance_n1)
            push_nv = q_nv.scatter_add_(-1, target_n1, q_nv.new_full((1, 1), -1.0).expand_as(target_n1))
            kept_nv[rows] = push_nv.mul_(entropy_factor).add_(pull_nv.mul_(distance_factor))
            losses_n[rows], entropies_n[rows] = loss_n1.squeeze(-1), entropy_n1.squeeze(-1)
        ctx.save_for_backward(x_nd, head_vd, kept_nv, valid_n)
        losses_n, entropies_n = (part.masked_fill(~valid_n, 0.0) for part in (losses_n, entropies_n))
        ctx.mark_non_differentiable(entropies_n)
        return losses_n, entropies_n

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad_n: Tensor, _: Tensor
    ) -> tuple[Tensor | None, ...]:
        return *LinearCrossEntropy.backward(ctx, grad_n)[:2], None, None, None


def mixture(config: Mixing, entropy: Tensor, distance: Tensor) -> tuple[Tensor, Tensor | float, Tensor | float]:
    """(loss, factor of the cross-entropy's gradient, factor of the distance's gradient) per token."""
    if config.mode == 1:
        ratio = entropy / distance.clamp_min(SMALLEST)
        if config.clamp is not None:
            ratio = ratio.clamp_max(config.clamp)
        loss, of_entropy, of_distance = (entropy + ratio * distance) / 2, 0.5, ratio / 2
    else:
        ratio = distance / entropy.clamp_min(SMALLEST)
        loss, of_entropy, of_distance = distance + ratio * entropy, ratio, 1.0
    share = config.share
    return (1 - share) * entropy + share * loss, (1 - share) + share * of_entropy, share * of_distance
