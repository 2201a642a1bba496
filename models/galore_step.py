"""GaLore's step: the gradient of a matrix is projected, Adam runs in the projection, its step is projected back.

Letters: m rows of a matrix, n columns, r rank of the projection, s the smaller of m and n.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class ProjectedAdam(torch.optim.Optimizer):
    """Adam in the first singular directions of each matrix's gradient; all groups hold matrices wider than `rank`.

    The state of a matrix: `step`; `projector` `[s, r]`; the moments `exp_avg`, `exp_avg_sq`, `[m, r]` for m >= n, else
    `[r, n]`. As in the paper, the moments stay as they are when the directions change.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        *,
        betas: tuple[float, float],
        eps: float,
        rank: int,
        gap: int,
        scale: float,
    ) -> None:
        super().__init__(groups, {"lr": 0.0, "weight_decay": 0.0})
        self.betas, self.eps, self.rank, self.gap, self.scale = betas, eps, rank, gap, scale

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step(parameter, parameter.grad, group["lr"], group["weight_decay"])

    def _step(self, W_mn: Tensor, grad_mn: Tensor, learning_rate: float, decay: float) -> None:
        state, (first, second), tall = self.state[W_mn], self.betas, grad_mn.shape[0] >= grad_mn.shape[1]
        if not state:
            state["step"] = torch.zeros(())
        if int(state["step"]) % self.gap == 0:
            state["projector"] = directions(grad_mn if tall else grad_mn.T, self.rank)
        P_sr = state["projector"]
        low = grad_mn @ P_sr if tall else P_sr.T @ grad_mn
        if "exp_avg" not in state:
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(low), torch.zeros_like(low)
        state["step"] += 1
        count = int(state["step"])
        state["exp_avg"].lerp_(low, 1.0 - first)
        state["exp_avg_sq"].mul_(second).addcmul_(low, low, value=1.0 - second)
        root = (state["exp_avg_sq"] / (1.0 - second**count)).sqrt_().add_(self.eps)
        step = state["exp_avg"] / (1.0 - first**count) / root
        W_mn.mul_(1.0 - learning_rate * decay)
        W_mn.add_(step @ P_sr.T if tall else P_sr @ step, alpha=-learning_rate * self.scale)


def directions(G_ms: Tensor, rank: int) -> Tensor:
    """The first right singular vectors `[s, r]` of a matrix, each with its largest entry positive.

    Moments outlive a change of directions, so a sign that a library may choose would decide bits.
    """
    _, _, V_ss = torch.linalg.svd(G_ms, full_matrices=False)
    P_sr = V_ss[:rank].T
    largest_1r = P_sr.gather(0, P_sr.abs().argmax(0, keepdim=True))
    return (P_sr * largest_1r.sign()).contiguous()
