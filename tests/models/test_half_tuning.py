"""Freeze policies on the parameters of real models: counts by layer and category, shares, units of LOST."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from models.build import structure
from models.freeze import ByName
from models.half_tuning import BLOCK, BitFit, HalfTuning, sizes_of, units_of
from models.presets import Llama, Lost


def model_of(config=None):
    with torch.device("meta"):
        return structure(config or Llama("1m"), 1000, 64)


def sizes(config=None) -> dict[str, int]:
    return sizes_of(model_of(config))


def by_category(frozen: set[str]) -> dict[int, Counter]:
    found: dict[int, Counter] = {}
    for layer, name in {(int(m[1]), m[2]) for m in map(BLOCK.search, frozen) if m}:
        part = "norm" if "norm" in name else "attention" if name[0] in "qkvo" else "feed_forward"
        found.setdefault(layer, Counter())[part] += 1
    return found


@pytest.mark.parametrize("config", [Llama("1m"), Lost("1m", rank=8, density=0.05)], ids=["dense", "lost"])
def test_half_of_every_category_of_every_layer(config) -> None:
    frozen = HalfTuning().frozen(model_of(config), seed=0)
    counts = by_category(frozen)
    assert {layer: (of["attention"], of["norm"]) for layer, of in counts.items()} == {n: (2, 1) for n in range(4)}
    assert sorted(of["feed_forward"] for of in counts.values()) == [1, 1, 2, 2]
    assert not any(name.startswith(("embed_tokens", "lm_head", "norm")) for name in frozen)


def test_the_parts_of_a_lost_layer_go_together() -> None:
    model = model_of(Lost("1m", rank=8, density=0.05))
    for level in ("category", "layer", "model"):
        frozen = HalfTuning(level=level).frozen(model, seed=1)
        for unit in units_of(sizes_of(model)):
            assert len(frozen & set(unit.parameters)) in (0, len(unit.parameters))


@pytest.mark.parametrize("level", ["category", "layer", "model"])
@pytest.mark.parametrize("balance", ["count", "parameters"])
def test_about_half_of_the_blocks_parameters_stand_still(level, balance) -> None:
    of_blocks = {name: size for name, size in sizes().items() if "layers." in name}
    shares = [
        sum(of_blocks[name] for name in HalfTuning(level=level, balance=balance).frozen(model_of(), seed))
        / sum(of_blocks.values())
        for seed in range(20)
    ]
    assert 0.4 <= sum(shares) / len(shares) <= 0.6
    if balance == "parameters":
        assert all(0.35 <= share <= 0.65 for share in shares)


def test_equal_seed_and_round_choose_alike_and_another_round_does_not() -> None:
    model = model_of()
    assert HalfTuning().frozen(model, 0) == HalfTuning().frozen(model_of(), 0)
    assert HalfTuning().frozen(model, 0) != HalfTuning(round=1).frozen(model, 0)
    assert HalfTuning().frozen(model, 0) != HalfTuning().frozen(model, 1)


def test_patterns_and_vectors() -> None:
    model, names = model_of(), sizes()
    left = set(names) - set(ByName(train=("q_proj", "v_proj")).frozen(model, 0))
    assert left == {name for name in names if "q_proj" in name or "v_proj" in name}
    left = set(names) - BitFit().frozen(model, 0)
    assert left == {name for name in names if name.endswith("norm.weight")}
    with pytest.raises(ValueError, match="regular expression"):
        ByName(train=("(",))
    with pytest.raises(ValueError, match="level"):
        HalfTuning(level="head")
