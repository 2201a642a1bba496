"""Text from a model: many prompts at once, with a cache of keys and values, under any rules for the next token.

A rule takes the ids so far and the logits and gives other logits (`Rule`). Those of `TokenSampling` are here, and a
caller adds its own (a grammar, a stop list). The draw of a place is a keyed hash of (seed, number of the text, place),
never the process's random state, so a text does not depend on which texts stand beside it in a batch, except where two
tokens are as likely to the last bit. Letters: b texts, t places, v vocabulary.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from models.llama import LlamaModel

Rule = Callable[[Sequence[list[int]], "Tensor"], "Tensor"]  # ids of each text so far, logits [b, v] -> logits [b, v]


@dataclass(frozen=True, kw_only=True)
class TokenSampling:
    """How the next token is drawn.

    temperature  0 = always the likeliest token
    top_k        only the k likeliest; 0 = all
    top_p        only the likeliest that together hold this share (Holtzman et al. 2020)
    repetition   logits of tokens that are in the text already are divided by this, negative ones multiplied (Keskar et
                 al. 2019); 1 = off
    """

    temperature: float = 0.7
    top_k: int = 0
    top_p: float = 1.0
    repetition: float = 1.0

    def __post_init__(self) -> None:
        if self.temperature < 0.0 or self.top_k < 0:
            raise ValueError(f"temperature, top_k: found {self.temperature!r}, {self.top_k!r}, expected at least 0")
        if not 0.0 < self.top_p <= 1.0:
            raise ValueError(f"top_p: found {self.top_p!r}, expected a share above 0, at most 1")
        if not self.repetition >= 1.0:
            raise ValueError(f"repetition: found {self.repetition!r}, expected at least 1")

    def rules(self) -> list[Rule]:
        """The rules, in the order in which they apply."""
        found: list[Rule] = []
        if self.repetition != 1.0:
            found.append(lambda ids, logits_bv: _repetition(ids, logits_bv, self.repetition))
        if self.temperature:
            found.append(lambda ids, logits_bv: logits_bv / self.temperature)
        if self.top_k:
            found.append(lambda ids, logits_bv: _top_k(logits_bv, self.top_k))
        if self.top_p < 1.0:
            found.append(lambda ids, logits_bv: _top_p(logits_bv, self.top_p))
        return found

    def settings(self) -> dict[str, Any]:
        """The same as entries of Hugging Face's `generation_config.json`."""
        if not self.temperature:
            return {"do_sample": False}
        return {
            "do_sample": True,
            "temperature": self.temperature,
            "top_k": self.top_k,
            "top_p": self.top_p,
            "repetition_penalty": self.repetition,
        }


def generate(
    model: LlamaModel,
    prompts: Sequence[Sequence[int]],
    tokens: int,
    end_id: int,
    *,
    sampling: TokenSampling,
    seed: int = 0,
    numbers: Sequence[int] | None = None,
    rules: Sequence[Rule] = (),
    begin_id: int | None = None,
) -> list[list[int]]:
    """What follows each prompt: at most `tokens` ids, fewer where a text ends (`end_id`, which is left out).

    A text begins with `begin_id` (null: with `end_id`), which needs no place in the prompts. A prompt that does not
    fit keeps its last tokens; a text ends where the model's length is full. `numbers` are the numbers of the texts
    (0, 1, ... by default), which key their draws. `rules` apply after those of the sampling. The model is left in the
    mode it is in.
    """
    if not prompts:
        return []
    import torch

    numbers = range(len(prompts)) if numbers is None else numbers
    room = max(1, model.max_length - tokens)
    # the last tokens of a prompt, after the special token that every document begins with
    begin = end_id if begin_id is None else begin_id
    texts = [[begin, *prompt][-room:] for prompt in prompts]
    starts = [len(text) for text in texts]
    order = sorted(range(len(texts)), key=lambda i: starts[i])
    with torch.inference_mode():
        # texts of one length are written together: no place is filled, and no mask is needed
        while order:
            same = [i for i in order if starts[i] == starts[order[0]]]
            order = order[len(same) :]
            _write(model, [texts[i] for i in same], tokens, end_id, sampling, seed, [numbers[i] for i in same], rules)
    return [text[start:] for text, start in zip(texts, starts, strict=True)]


def _write(
    model: LlamaModel,
    texts: list[list[int]],
    tokens: int,
    end_id: int,
    sampling: TokenSampling,
    seed: int,
    numbers: Sequence[int],
    rules: Sequence[Rule],
) -> None:
    """Append to texts of one length, in place, until all have ended."""
    import torch

    from models.attention import Cache
    from models.batch import Batch

    weight = model.embed_tokens.weight
    length = min(model.max_length, len(texts[0]) + tokens)
    cache = Cache(model.config.shape, len(texts), length, weight)
    device, open_ = weight.device, list(range(len(texts)))
    new_bt = torch.tensor(texts, device=device)
    first, all_rules = len(texts[0]), [*sampling.rules(), *rules]
    for place in range(min(tokens, length - first)):
        logits_bv = model(Batch(ids_bt=new_bt), "logits", cache)[:, -1].double().cpu()
        draws_b = [_draw(seed, number, place) for number in numbers] if sampling.temperature else None
        chosen = next_tokens(texts, logits_bv, all_rules, draws_b)
        for i in list(open_):
            if chosen[i] == end_id:
                open_.remove(i)
            else:
                texts[i].append(chosen[i])
        if not open_:
            return
        new_bt = torch.tensor(chosen, device=device)[:, None]


def next_tokens(
    ids: Sequence[list[int]], logits_bv: Tensor, rules: Sequence[Rule], draws_b: Sequence[float] | None
) -> list[int]:
    """The next token of each text: what the rules leave of the logits (fp64), at a draw in [0, 1) for each text, or the
    likeliest where there are no draws.
    """
    import torch

    for rule in rules:
        logits_bv = rule(ids, logits_bv)
    if draws_b is None:
        return logits_bv.argmax(-1).tolist()
    shares_bv = torch.softmax(logits_bv, -1).cumsum(-1)
    points_b1 = torch.tensor(draws_b, dtype=torch.float64)[:, None] * shares_bv[:, -1:]
    return torch.searchsorted(shares_bv, points_b1, right=True).clamp_max(shares_bv.shape[1] - 1)[:, 0].tolist()


def _draw(seed: int, number: int, place: int) -> float:
    """A number in [0, 1)."""
    key = hashlib.blake2b(f"text/{seed}/{number}/{place}".encode(), digest_size=8).digest()
    return (int.from_bytes(key, "big") >> 11) / 2**53


def _repetition(ids: Sequence[list[int]], logits_bv: Tensor, penalty: float) -> Tensor:
    import torch

    logits_bv = logits_bv.clone()
    for row, seen in enumerate(ids):
        places = torch.tensor(sorted(set(seen)))
        values = logits_bv[row, places]
        logits_bv[row, places] = torch.where(values > 0, values / penalty, values * penalty)
    return logits_bv


def _top_k(logits_bv: Tensor, k: int) -> Tensor:
    if k >= logits_bv.shape[1]:
        return logits_bv
    limit_b1 = logits_bv.topk(k, dim=-1).values[:, -1:]
    return logits_bv.masked_fill(logits_bv < limit_b1, float("-inf"))


def _top_p(logits_bv: Tensor, p: float) -> Tensor:
    import torch

    values_bv, order_bv = logits_bv.sort(dim=-1, descending=True, stable=True)
    shares_bv = torch.softmax(values_bv, -1)
    # the token that passes the share is kept: those before it hold less than p
    beyond_bv = shares_bv.cumsum(-1) - shares_bv >= p
    return logits_bv.masked_fill(torch.zeros_like(beyond_bv).scatter(1, order_bv, beyond_bv), float("-inf"))
