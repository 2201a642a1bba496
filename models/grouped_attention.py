"""Causal attention inside documents without a mask: documents of about one length are one batch.

A document is padded at its end to the next length of a coarse scale, and documents of one padded length are one call.
Causal attention needs no mask for that: no token sees the padding behind it. So the work is the sum of the squares of
the lengths, a third of it padding at most in tokens, in a handful of calls whatever the number of documents. It is the
same on every device, with whatever kernel torch has for plain causal attention.

Letters: b batch, t time, h heads, e width of a head, p places in the padded groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

LEAST = 4  # tokens of the shortest group


class Groups(NamedTuple):
    """How tokens lie in groups.

    token_p   int64 [p], the token (row t + time) at each place; behind a document its last one
    real_p    bool [p], false where that is padding
    place_bt  int64 [b t], the place of each token
    shapes    (documents, length) of each group, in the order of the places
    """

    token_p: Tensor
    real_p: Tensor
    place_bt: Tensor
    shapes: tuple[tuple[int, int], ...]


def padded(length: int) -> int:
    """The next of 4, 6, 8, 12, 16, 24, 32, ...: at most a third of it is padding."""
    power = 1 << (length - 1).bit_length()
    return max(LEAST, power * 3 // 4 if length <= power * 3 // 4 else power)


def groups_of(pieces: Sequence[tuple[int, int, int]], t: int, device: torch.device) -> Groups:
    """The groups of documents, (row, start, end) each, that fill rows of t tokens without a gap."""
    of_length: dict[int, list[tuple[int, int]]] = {}
    for row, start, end in pieces:
        of_length.setdefault(padded(end - start), []).append((row * t + start, end - start))
    tokens, reals, shapes = [], [], []
    for length in sorted(of_length):
        first, count = np.array(of_length[length], np.int64).T[:, :, None]
        tokens.append((first + np.minimum(np.arange(length), count - 1)).ravel())
        reals.append((np.arange(length) < count).ravel())
        shapes.append((len(first), length))
    token, real = np.concatenate(tokens), np.concatenate(reals)
    place = np.empty(int(real.sum()), np.int64)
    place[token[real]] = np.flatnonzero(real)
    token_p, real_p, place_bt = (torch.from_numpy(one).to(device) for one in (token, real, place))
    return Groups(token_p, real_p, place_bt, tuple(shapes))


class _Spread(torch.autograd.Function):
    """Tokens `[b t, ...]` to places `[p, ...]`. Each token has one place that counts, so the gradient is a gather too:
    torch would add up rows one by one.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, token_p: Tensor, place_bt: Tensor) -> Tensor:
        ctx.save_for_backward(place_bt)
        return x.index_select(0, token_p)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0].index_select(0, ctx.saved_tensors[0]), None, None


class _Gather(torch.autograd.Function):
    """Places back to tokens; padding gets no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, token_p: Tensor, real_p: Tensor, place_bt: Tensor) -> Tensor:
        ctx.save_for_backward(token_p, real_p)
        return x.index_select(0, place_bt)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        token_p, real_p = ctx.saved_tensors
        return grads[0].index_select(0, token_p).mul_(real_p[:, None]), None, None, None


def attend_in_groups(q_bhte: Tensor, k_bhte: Tensor, v_bhte: Tensor, groups: Groups) -> Tensor:
    """Causal attention `[b, h, t, e]` inside each document."""
    b, h, t, e = q_bhte.shape
    spread = [
        cast("Tensor", _Spread.apply(x.transpose(1, 2).reshape(b * t, h * e), groups.token_p, groups.place_bt))
        for x in (q_bhte, k_bhte, v_bhte)
    ]
    parts, at = [], 0
    for count, length in groups.shapes:
        end = at + count * length
        q, k, v = (x[at:end].view(count, length, h, e).transpose(1, 2) for x in spread)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        parts.append(y.transpose(1, 2).reshape(count * length, h * e))
        at = end
    y = cast("Tensor", _Gather.apply(torch.cat(parts), groups.token_p, groups.real_p, groups.place_bt))
    return y.view(b, t, h, e).transpose(1, 2)
