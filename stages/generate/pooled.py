"""From texts to what an encoder sees, and from its states to one vector of each text.

Parts are tokenised apart, so that the places that are pooled are those of the text whatever stands before it. Texts are
filled up at their end: a model with absolute positions sees the same of a text in any company. Sources: mean weighted
by the place (Muennighoff 2022, arXiv 2202.08904); the text twice, so that a causal state has seen all of it (Springer
et al. 2024, arXiv 2402.15449).

Letters: b texts, t places, d model width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch

    from stages.generate.lm import Pooling


class SeenText(NamedTuple):
    """The ids that an encoder sees of a text, and the places [first, end) that are pooled."""

    ids: list[int]
    first: int
    end: int


def seen_texts(
    tokenizer: Any, texts: Sequence[str], longest: int | None, *, instruction: str = "", twice: bool = False
) -> list[SeenText]:
    """What is seen of each text. The tokens that the tokenizer puts around a text are pooled with it, unless an
    instruction or a first copy (`twice`) stands before it: then only those at the end are.
    """
    if not texts:
        return []
    if not instruction and not twice:
        cut = {} if longest is None else {"truncation": True, "max_length": longest}
        return [SeenText(ids, 0, len(ids)) for ids in tokenizer(list(texts), **cut)["input_ids"]]
    before, after = around(tokenizer)
    told = tokenizer(instruction, add_special_tokens=False)["input_ids"] if instruction else []
    copies = 2 if twice else 1
    found = []
    for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"]:
        if longest is not None:
            ids = ids[: max(1, (longest - len(before) - len(told) - len(after)) // copies)]
        first = len(before) + len(told) + (copies - 1) * len(ids)
        whole = [*before, *told, *ids * copies, *after]
        found.append(SeenText(whole, first, len(whole)))
    return found


def around(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The special tokens that a tokenizer puts before and behind a text."""
    bare, whole = (tokenizer("a", add_special_tokens=specials)["input_ids"] for specials in (False, True))
    at = next(i for i in range(len(whole)) if whole[i : i + len(bare)] == bare)
    return whole[:at], whole[at + len(bare) :]


def padded(seen: Sequence[SeenText], fill: int, device: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids, which of them are seen, and which are pooled: int64 `[b, t]` each."""
    import torch

    width = max(len(one.ids) for one in seen)
    ids = torch.tensor([one.ids + [fill] * (width - len(one.ids)) for one in seen], device=device)
    places = torch.arange(width, device=device)[None]
    lengths, firsts, ends = (
        torch.tensor(values, device=device)[:, None]
        for values in ([len(one.ids) for one in seen], [one.first for one in seen], [one.end for one in seen])
    )
    return ids, (places < lengths).long(), ((places >= firsts) & (places < ends)).long()


def pool(states_btd: torch.Tensor, pooled_bt: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """`[b, d]`: the mean over the places that are pooled of each row, even or weighted by their number (1, 2, ...), or
    the state of the first or last of them.
    """
    import torch

    if pooling in ("mean", "static", "echo", "weighted"):
        weights_bt = pooled_bt.cumsum(1) * pooled_bt if pooling == "weighted" else pooled_bt
        weights_bt1 = weights_bt[:, :, None].to(states_btd.dtype)
        return (states_btd * weights_bt1).sum(1) / weights_bt1.sum(1).clamp_min(1.0)
    places_bt = torch.arange(pooled_bt.shape[1], device=pooled_bt.device) * pooled_bt
    at_b = places_bt.argmax(1) if pooling == "last" else pooled_bt.argmax(1)
    return states_btd[torch.arange(len(states_btd), device=states_btd.device), at_b]
