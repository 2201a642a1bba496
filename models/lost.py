"""The LOST linear layer: a low-rank product plus a dense product over a few kept input channels.

`y = gamma B act(A x) + (1 - gamma) W_s x[I]` (Li et al. 2025, arXiv 2508.02668). Here gamma is *folded*: the
parameters hold `gamma B` and `(1 - gamma) W_s`, whose learning rates are multiplied by gamma and 1 - gamma.
Under Adam that is the same trajectory (the step is invariant to the scale of a gradient), and the forward
saves two passes over `[t, out]`. No matrix of shape `[out, in]` exists in forward or backward. With no kept
channels this is the low-rank layer, and CoLA's with SiLU. How the tensors start is `models.lost_init`.

Letters: n tokens, i input channels, o output channels, r rank, k kept channels.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from models.projection import NotMergeable, ProjectionModule, check_ascending
from models.shapes import Activation


class LostFunction(torch.autograd.Function):
    """The arithmetic; of activations it keeps x and h = A x only (autograd would add act(h) and x[I])."""

    @staticmethod
    def forward(
        ctx: Any,
        x_ni: Tensor,
        A_ri: Tensor,
        B_or: Tensor,
        W_ok: Tensor | None,
        I_k: Tensor | None,
        silu: bool,
    ) -> Tensor:
        h_nr = x_ni @ A_ri.T
        y_no = (F.silu(h_nr) if silu else h_nr) @ B_or.T
        if W_ok is not None and I_k is not None:
            y_no.addmm_(x_ni.index_select(1, I_k), W_ok.T)
        ctx.save_for_backward(x_ni, h_nr, A_ri, B_or, W_ok, I_k)
        ctx.silu = silu
        return y_no

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, dy_no: Tensor
    ) -> tuple[Tensor | None, ...]:
        x_ni, h_nr, A_ri, B_or, W_ok, I_k = ctx.saved_tensors
        need_x, need_A, need_B, need_W, *_ = ctx.needs_input_grad
        dB_or = dy_no.T @ (F.silu(h_nr) if ctx.silu else h_nr) if need_B else None
        dA_ri = dW_ok = dx_ni = None
        if need_x or need_A:
            dh_nr = dy_no @ B_or
            if ctx.silu:
                s_nr = h_nr.sigmoid()
                dh_nr *= s_nr * (1 + h_nr * (1 - s_nr))
            dA_ri = dh_nr.T @ x_ni if need_A else None
            dx_ni = dh_nr @ A_ri if need_x else None
        if W_ok is not None:
            dW_ok = dy_no.T @ x_ni.index_select(1, I_k) if need_W else None
            if dx_ni is not None:
                dx_ni.index_add_(1, I_k, dy_no @ W_ok)
        return dx_ni, dA_ri, dB_or, dW_ok, None, None


class LostLinear(ProjectionModule):
    """`[..., in] -> [..., out]` without bias.

    Parameters `A [rank, in]`, `B [out, rank]` (times gamma) and, when `kept` > 0, `W_s [out, kept]` (times 1
    - gamma); buffer `I [kept]` int64, sorted and unique, in the state dict. gamma is a Python float: in bf16,
    0.7 is 0.6992.
    """

    I: Tensor | None  # noqa: E741

    def __init__(
        self, in_width: int, out_width: int, *, rank: int, kept: int, gamma: float, activation: Activation
    ) -> None:
        super().__init__()
        self.in_width, self.out_width, self.rank, self.kept = in_width, out_width, rank, kept
        self.gamma, self.activation = gamma, activation
        self.A = nn.Parameter(torch.empty(rank, in_width))
        self.B = nn.Parameter(torch.empty(out_width, rank))
        self.W_s = nn.Parameter(torch.empty(out_width, kept)) if kept else None
        self.register_buffer("I", torch.arange(kept) if kept else None)

    def forward(self, x: Tensor) -> Tensor:
        A_ri, B_or, W_ok = self.A, self.B, self.W_s
        device = x.device.type
        if torch.is_autocast_enabled(device):
            # cast outside the function, so that autograd casts the gradients back
            dtype = torch.get_autocast_dtype(device)
            x, A_ri, B_or = x.to(dtype), A_ri.to(dtype), B_or.to(dtype)
            W_ok = None if W_ok is None else W_ok.to(dtype)
        x_ni = x.reshape(-1, self.in_width)
        y_no = LostFunction.apply(x_ni, A_ri, B_or, W_ok, self.I, self.activation == "silu")
        return y_no.view(*x.shape[:-1], self.out_width)

    def learning_rate_factors(self) -> dict[str, float]:
        """Factor of each parameter's learning rate that makes the folded form follow the unfolded one."""
        factors = {"A": 1.0, "B": self.gamma}
        return factors | {"W_s": 1.0 - self.gamma} if self.kept else factors

    def merge(self) -> Tensor:
        """The dense weight `[out, in]` that computes the same, in the parameters' dtype, summed in fp64.

        Raises NotMergeable with an activation between the factors.
        """
        if self.activation != "none":
            raise NotMergeable(
                f"found activation={self.activation!r} between the factors, expected 'none': no dense matrix "
                "computes the same function; export the factors instead"
            )
        W_oi = self.B.detach().double() @ self.A.detach().double()
        if self.W_s is not None and self.I is not None:
            W_oi.index_add_(1, self.I, self.W_s.detach().double())
        return W_oi.to(self.A.dtype)

    def check_indices(self) -> None:
        if self.I is not None:
            check_ascending("I", self.I, self.in_width)

    def extra_repr(self) -> str:
        return (
            f"in={self.in_width}, out={self.out_width}, rank={self.rank}, kept={self.kept}, "
            f"gamma={self.gamma}, activation={self.activation}"
        )
