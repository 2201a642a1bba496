"""The demo's near copies against the curve times the check: pair by pair, what chance says should be caught."""

from __future__ import annotations

from itertools import pairwise
from math import comb, sqrt
from typing import Any

import numpy as np
import pytest

from pipeline.recipe import load
from siftloom.demo.run import recipe_path
from siftloom.demo.truth import planted_truth
from siftloom.vocabulary import vocabulary

pytestmark = pytest.mark.timeout(600)
BINS = (0.6, 0.7, 0.8, 0.9, 1.01)


def chance(jaccard: float, bands: int, rows: int, needed: int) -> float:
    """That two sketches share a band and agree in `needed` of their bands x rows places.

    Places agree independently with probability `jaccard` (Broder 1997), so the agreements of one band are binomial; of
    bands that are not full they are that without its last term. Sums of them are products of the generating functions.
    """
    band = [comb(rows, k) * jaccard**k * (1 - jaccard) ** (rows - k) for k in range(rows + 1)]
    every = none_full = np.ones(1)
    for _ in range(bands):
        every, none_full = np.convolve(every, band), np.convolve(none_full, band[:-1])
    return float(every[needed:].sum() - none_full[needed:].sum())


@pytest.mark.parametrize("jaccard", [0.55, 0.62, 0.7, 0.85])
def test_the_chance_is_that_of_drawn_sketches(jaccard: float) -> None:
    draws = 20_000
    equal = np.random.default_rng(1).random((draws, 14, 8)) < jaccard
    caught = (equal.all(2).any(-1) & (equal.sum((1, 2)) >= 68)).mean()
    expected = chance(jaccard, 14, 8, 68)
    assert abs(caught - expected) <= 4 * sqrt(expected * (1 - expected) / draws)


def test_near_copies_are_caught_as_often_as_banding_and_check_say(demo: tuple[Any, dict[str, Any]]) -> None:
    run, result = demo
    node: Any = load(recipe_path(), vocabulary()).nodes["unique"]
    (bands, rows), places = node.banding(), node.places()
    needed = next(n for n in range(places + 1) if n / places >= node.min_jaccard)
    assert places == bands * rows

    before, after = (set(run[label].rows(["source_id"])["source_id"].to_pylist()) for label in ("distinct", "unique"))
    facts = {d: fact for d, fact in planted_truth().items() if fact["kind"] == "near"}
    pairs = [(d, fact["of"], fact["jaccard"]) for d, fact in facts.items() if {d, fact["of"]} <= before]
    printed = {entry["jaccard"]: entry for entry in result["planted"]["near"]["bins"]}
    for low, high in pairwise(BINS):
        inside = [pair for pair in pairs if low <= pair[2] < high]
        kept = [len({d, of} & after) for d, of, _ in inside]
        caught = kept.count(1)
        assert len(inside) >= 40
        assert 0 not in kept
        chances = np.array([chance(jaccard, bands, rows, needed) for *_, jaccard in inside])
        error = sqrt((chances * (1 - chances)).sum())
        told = f"J {low}: caught {caught} of {len(inside)}, expected {chances.sum():.1f} +- {error:.1f}"
        assert abs(caught - chances.sum()) <= 3 * error, told
        assert low < 0.9 or caught / len(inside) >= 0.99, told
        assert (printed[low]["pairs"], printed[low]["recall"]) == (len(inside), caught / len(inside))
