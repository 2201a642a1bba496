"""What a class-conditional model says of every next token, and how it steers another model's logits: GeDi's decoding
(Krause et al. 2020, arXiv 2009.06367, equations 5 to 7).

Everything is fp64 and a function of its arguments. Letters: c codes, b texts, v vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor


def posteriors(
    history_cb: Tensor,
    logp_cbv: Tensor,
    counted: int,
    *,
    alpha: float = 1.0,
    bias_c: Tensor | None = None,
    per: Literal["length", "none"] = "length",
) -> Tensor:
    """log P(c | tokens so far, v) for every next token v, `[c, b, v]`. `history_cb`: the log-probability of the tokens
    so far that count, and `counted` how many they are. `per`: `length` takes the mean over tokens, with which the
    codes were trained to be told apart; `none` the sum, which is Bayes' rule for alpha 1.
    """
    import torch

    joint_cbv = history_cb[:, :, None] + logp_cbv
    if per == "length":
        joint_cbv = joint_cbv / (counted + 1)
    logits_cbv = alpha * joint_cbv
    if bias_c is not None:
        logits_cbv = logits_cbv + bias_c[:, None, None]
    return torch.log_softmax(logits_cbv, 0)


def steered(logits_bv: Tensor, logp_bv: Tensor, *, omega: float, rho: float = 1.0, tau: float = 1.0) -> Tensor:
    """Logits of `p(v) P(wanted | v)^omega`, -inf for tokens that are filtered. `logp_bv`: log P(wanted | v).

    Of the tokens in falling order of P the fewest stay that together hold the mass `rho` of the steered distribution,
    and all with P above `tau`; the likeliest token always stays.
    """
    import torch

    moved_bv = logits_bv + omega * logp_bv
    if rho >= 1.0:
        return moved_bv
    shares_bv = torch.softmax(moved_bv, -1)
    order_bv = logp_bv.argsort(dim=-1, descending=True, stable=True)
    sorted_bv = shares_bv.gather(-1, order_bv)
    # the token that reaches the mass is kept: those before it hold less
    kept_bv = torch.zeros_like(shares_bv, dtype=torch.bool)
    kept_bv = kept_bv.scatter(-1, order_bv, sorted_bv.cumsum(-1) - sorted_bv < rho)
    kept_bv |= logp_bv.exp() > tau
    kept_bv = kept_bv.scatter(-1, moved_bv.argmax(-1, keepdim=True), True)
    return moved_bv.masked_fill(~kept_bv, float("-inf"))
