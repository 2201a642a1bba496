"""The likelihood of tokens that a model cannot see at once: windows that overlap by half.

A window gives the losses of the tokens that no earlier window has given, so every token is counted once, and all but
those near the beginning of the sequence behind at least half a window of context.

Letters: b windows, t places.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import torch


class Window(NamedTuple):
    """Inputs `[start, end)` of a sequence; the losses of the tokens `[first, end]` count."""

    start: int
    end: int
    first: int


def windows(tokens: int, first: int, length: int | None) -> list[Window]:
    """The windows of a sequence of `tokens`, of which those from `first` on are to be predicted; `first` >= 1.

    length  tokens that the model sees at once, at least 2; None = no limit
    """
    last = tokens - 1  # the last token is predicted and never shown
    if first > last:
        return []
    if length is None or last <= length:
        return [Window(0, last, first)]
    stride = length // 2
    # what stands long before the first target is seen by no window
    start, found = max(0, min(first - stride, last - length)), []
    while first <= last:
        end = min(start + length, last)
        found.append(Window(start, end, first))
        start, first = start + stride, end + 1
    return found


def likelihoods(
    forward: Callable[[torch.Tensor], torch.Tensor],
    sequences: Sequence[tuple[list[int], int]],
    length: int | None,
    batch_rows: int,
    device: str,
) -> np.ndarray:
    """Nats of every sequence, float64: of (ids, first token to be predicted).

    Windows of like length stand in a batch, filled at the right, which a causal model never sees.

    forward  ids int64 `[b, t]` -> logits `[b, t, v]`
    """
    import numpy as np
    import torch
    import torch.nn.functional as F

    nats = np.zeros(len(sequences))
    asked = [(i, w) for i, (ids, first) in enumerate(sequences) for w in windows(len(ids), first, length)]
    asked.sort(key=lambda one: one[1].start - one[1].end)
    for at in range(0, len(asked), batch_rows):
        batch = asked[at : at + batch_rows]
        widest = batch[0][1].end - batch[0][1].start
        ids_bt, labels_bt = torch.zeros(len(batch), widest, dtype=torch.long), torch.full((len(batch), widest), -100)
        for row, (i, window) in enumerate(batch):
            ids, shown, skipped = sequences[i][0], window.end - window.start, window.first - 1 - window.start
            ids_bt[row, :shown] = torch.tensor(ids[window.start : window.end])
            labels_bt[row, skipped:shown] = torch.tensor(ids[window.first : window.end + 1])
        with torch.no_grad():
            logits_btv = forward(ids_bt.to(device)).float()
            losses_bt = F.cross_entropy(logits_btv.transpose(1, 2), labels_bt.to(device), reduction="none")
        for (i, _), loss in zip(batch, losses_bt.double().sum(1).tolist(), strict=True):
            nats[i] += loss
    return nats
