"""The first pass of a model over a batch of prompts: what several of them have in common is read once.

Prompts of a template begin alike (an instruction, exemplars), and the samples of a prompt are that prompt again. A
model reads about a hundred tokens in the time in which it writes one for each of a batch, so of long prompts the first
pass is most of the work.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

LEAST_SHARED = 16  # tokens of a beginning that is worth a pass of its own


class ReadPrompts(NamedTuple):
    """What a model has read, filled up between the common beginning and the rest. Letters: b prompts, t places, v
    vocabulary.
    """

    cache: Any  # of transformers
    mask_bt: Tensor  # 1 where a token stands
    places_b1: Tensor  # of the last token
    logits_bv: Tensor  # of the token behind each prompt


def read_prompts(model: Any, prompts: Sequence[Sequence[int]], pad: int, device: str) -> ReadPrompts:
    """Read all prompts: their common beginning once, and equal prompts once."""
    import torch

    # a folder's own modelling code may not know how to leave logits out; of others all places' logits are much memory
    last = {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
    distinct = list(dict.fromkeys(map(tuple, prompts)))
    shared, cache = shared_beginning(distinct), None
    with torch.no_grad():
        if shared:
            begun = torch.tensor([distinct[0][:shared]], device=device)
            cache = model(input_ids=begun, use_cache=True, **last).past_key_values
            cache.batch_repeat_interleave(len(distinct))
        rests = [ids[shared:] for ids in distinct]
        widest = max(map(len, rests))
        ids_bt = torch.tensor([[pad] * (widest - len(ids)) + list(ids) for ids in rests], device=device)
        mask_bt = torch.tensor(
            [[1] * shared + [0] * (widest - len(ids)) + [1] * len(ids) for ids in rests], device=device
        )
        places_bt = (mask_bt.cumsum(-1) - 1).clamp_min(0)
        out = model(
            input_ids=ids_bt, attention_mask=mask_bt, position_ids=places_bt[:, shared:], past_key_values=cache,
            use_cache=True, **last,
        )  # fmt: skip
    cache = out.past_key_values
    at = {ids: place for place, ids in enumerate(distinct)}
    rows = torch.tensor([at[tuple(ids)] for ids in prompts], device=device)
    if len(distinct) < len(prompts):
        cache.batch_select_indices(rows)
    return ReadPrompts(cache, mask_bt[rows], places_bt[rows, -1:], out.logits[:, -1][rows])


def shared_beginning(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with, of each one left to read; 0 where that is of no use."""
    if len(prompts) < 2:
        return 0
    first, last = min(map(tuple, prompts)), max(map(tuple, prompts))  # all between them have what these have in common
    most = min(map(len, prompts)) - 1
    same = next((at for at in range(most) if first[at] != last[at]), most)
    return same if same >= LEAST_SHARED else 0
