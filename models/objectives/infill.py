"""CodeGen2's span corruption of one document: predict the missing spans behind what is left of it.

Of a document with k spans taken out (Nijkamp et al. 2023, arXiv 2305.02309, and its model card),

    a b C D e F g   ->   a b <mask_1> e <mask_2> g <end> <sep> <mask_1> C D <eom> <mask_2> F <eom>

so the result is `2 + 3 k` tokens longer, and no token is lost: `restore` puts the spans back. The paper mixes rows of
such documents with plain causal ones, half and half, and corrupts inside a document, never across a border.

The paper says neither how much is taken out nor in what pieces. Here: a share of the document drawn from
[`least_share`, `most_share`], a mean span length drawn from `span_lengths`, and span and gap lengths from a uniform
composition of their sums, where the first and the last gap may be empty, so that a document need not end in a span.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.objectives.masking import uniforms

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True)
class Spans:
    """How much of a document is taken out, and in what pieces.

    - `least_share`, `most_share`: of the document's tokens.
    - `span_lengths`: mean lengths [tokens], one of them drawn for each document.
    - `least_tokens`: a shorter document stays as it is.
    """

    least_share: float = 0.05
    most_share: float = 0.5
    span_lengths: tuple[int, ...] = (3, 8, 32)
    least_tokens: int = 16

    def __post_init__(self) -> None:
        object.__setattr__(self, "span_lengths", tuple(self.span_lengths))
        if not 0.0 < self.least_share <= self.most_share < 1.0:
            found = (self.least_share, self.most_share)
            raise ValueError(f"least_share, most_share: found {found}, expected two shares in order, inside (0, 1)")
        if not self.span_lengths or min(self.span_lengths) < 1:
            raise ValueError(f"span_lengths: found {self.span_lengths!r}, expected numbers of tokens, at least 1")
        if self.least_tokens < 2:
            raise ValueError(f"least_tokens: found {self.least_tokens!r}, expected at least 2")


@dataclass(frozen=True)
class Sentinels:
    """Ids of the tokens that mark spans: `masks[j]` stands for span j; `end`, `separator` close the context, `end_span`
    closes a span.
    """

    masks: tuple[int, ...]
    end: int
    separator: int
    end_span: int


def added_tokens(spans: int) -> int:
    """Tokens that `corrupt` adds to a document with this many spans."""
    return 2 + 3 * spans


def choose_spans(length: int, config: Spans, most_spans: int, key: str) -> list[tuple[int, int]]:
    """(first, stop) of the spans to take out, in order and not touching; none for a document that is too short."""
    if length < config.least_tokens:
        return []
    share, which, *rest = uniforms(key, 2 + 2 * length).tolist()
    taken, spans = _amounts(length, config, most_spans, share, which)
    span_lengths = _composition(taken, spans, rest[:length])
    # Gaps between two spans hold a token; the first and the last may be empty: two tokens are lent to them.
    gaps = _composition(length - taken + 2, spans + 1, rest[length:])
    gaps[0] -= 1
    found, at = [], 0
    for gap, size in zip(gaps, span_lengths, strict=False):
        found.append((at + gap, at + gap + size))
        at += gap + size
    return found


def fitting_length(length: int, room: int, config: Spans, most_spans: int, key: str) -> int:
    """The most tokens of a document's beginning that stay within `room` when `corrupt` rearranges them; 0 when no
    beginning that is long enough for spans does.
    """
    share, which = uniforms(key, 2).tolist()

    def wide(tokens: int) -> int:
        return tokens + added_tokens(_amounts(tokens, config, most_spans, share, which)[1])

    lengths = range(config.least_tokens, length + 1)
    return config.least_tokens + found - 1 if (found := bisect_right(lengths, room, key=wide)) else 0


def _amounts(length: int, config: Spans, most_spans: int, share: float, which: float) -> tuple[int, int]:
    """Tokens to take out and spans that hold them; both grow with the length, for the same draws."""
    taken = round((config.least_share + share * (config.most_share - config.least_share)) * length)
    mean = config.span_lengths[int(which * len(config.span_lengths))]
    taken = min(max(taken, 1), length - 1)
    return taken, max(1, min(most_spans, round(taken / mean), taken, length - taken + 1))


def _composition(total: int, parts: int, draws: Sequence[float]) -> list[int]:
    """`parts` whole numbers of at least 1 that sum to `total`, every such list equally likely."""
    import numpy as np

    borders = np.sort(np.argsort(np.asarray(draws[: total - 1]), kind="stable")[: parts - 1]) + 1
    return np.diff(np.concatenate([[0], borders, [total]])).tolist()


def corrupt(ids: np.ndarray, spans: Sequence[tuple[int, int]], sentinels: Sentinels) -> np.ndarray:
    """The rearranged document, `len(ids) + added_tokens(len(spans))` tokens; the document itself when there are no
    spans.
    """
    import numpy as np

    if not spans:
        return ids
    context, targets, at = [], [], 0
    for mask, (first, stop) in zip(sentinels.masks, spans, strict=False):
        context += [ids[at:first], [mask]]
        targets += [[mask], ids[first:stop], [sentinels.end_span]]
        at = stop
    assert len(spans) <= len(sentinels.masks), "choose_spans was given more spans than there are sentinels"
    parts = [*context, ids[at:], [sentinels.end, sentinels.separator], *targets]
    return np.concatenate(parts).astype(ids.dtype)


def restore(corrupted: np.ndarray, sentinels: Sentinels) -> np.ndarray:
    """The document that `corrupt` rearranged: its inverse."""
    import numpy as np

    separators = np.flatnonzero(corrupted == sentinels.separator)
    if not len(separators):
        return corrupted
    context, targets = corrupted[: separators[0] - 1], corrupted[separators[0] + 1 :]
    parts, at = [], 0
    for span in np.split(targets, np.flatnonzero(targets == sentinels.end_span) + 1)[:-1]:
        place = int(np.flatnonzero(context == span[0])[0])
        parts += [context[at:place], span[1:-1]]
        at = place + 1
    return np.concatenate([*parts, context[at:]]).astype(corrupted.dtype)
