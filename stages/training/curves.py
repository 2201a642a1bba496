"""Curves of a training run as figures: thinned, over tokens seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

POINTS = 400  # of a curve; longer ones are thinned

Points = list[list[float]]


def running_total(counts: Sequence[int]) -> list[int]:
    """Tokens seen at the end of each step."""
    return list(accumulate(counts))


def thin(xs: Sequence[float], ys: Sequence[float], points: int = POINTS) -> Points:
    """At most about `points` points of a curve, the last one always among them."""
    stride = max(1, -(-len(xs) // points))
    return [[xs[i], round(ys[i], 6)] for i in range(len(xs) - 1, -1, -stride)][::-1]


def lines(title: str, y: str, series: Sequence[tuple[str, Points]], **more: Any) -> dict[str, Any]:
    """A `lines` figure over tokens; `more`: its optional fields (`docs/figures.md`)."""
    named = [{"name": name, "points": points} for name, points in series]
    return {"kind": "lines", "title": title, "x": "tokens", "y": y, "series": named, **more}


def of_record(record: Mapping[str, Sequence[Any]], name: str, *, weighted: bool) -> Iterator[dict[str, Any]]:
    """The figures of a run from its record (`stages.training.worker.RECORD`); `weighted`: rows had weights."""
    tokens = running_total(record["tokens"])
    yield lines("Training loss", "nats per token", [(name, thin(tokens, record["loss"]))], smooth=True)
    if weighted:
        yield lines(
            "Weights of the rows of a batch",
            "1 = uniform",
            [
                ("effective samples / samples", thin(tokens, record["effective"])),
                ("largest weight", thin(tokens, record["weight_max"])),
                ("smallest weight", thin(tokens, record["weight_min"])),
            ],
        )
    yield lines("Gradient norm", "before clipping", [(name, thin(tokens, record["gradient_norm"]))])
