"""Half Fine-Tuning (Hui et al., ACL 2025, arXiv 2404.18466), and BitFit: freeze policies by category of parameter.

Half Fine-Tuning freezes half of the model for a round, and another half in the next. It freezes *units*: everything of
one projection is a unit (a dense weight; the factors and kept channels of a LOST layer), or its effective matrix would
move although one part of it stands still. Its recommended form chooses inside each category: 2 of the 4 projections of
attention; 2 of the 3 of the feed-forward part in one half of the layers and 1 in the other; 1 of the 2 norms.
Embeddings, head and final norm train always. The method is for rounds after pre-training: a frozen random
start is no use.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from models.freeze import Freeze

if TYPE_CHECKING:
    from torch import nn

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
FEED_FORWARD = ("gate_proj", "up_proj", "down_proj")
BLOCK = re.compile(r"(?:^|\.)layers\.(\d+)\.(?:\w+\.)?(\w*(?:_proj|norm))(?:\.|$)")


@dataclass(frozen=True)
class Unit:
    """A part of a block that is frozen as a whole: its layer, its name there, its parameters, their number."""

    layer: int
    name: str
    parameters: tuple[str, ...]
    size: int


def sizes_of(model: nn.Module) -> dict[str, int]:
    """Parameter -> number of its elements."""
    return {name: parameter.numel() for name, parameter in model.named_parameters()}


def units_of(sizes: Mapping[str, int]) -> list[Unit]:
    """The units of a model's blocks, from the sizes of its parameters by name; ordered by layer and name."""
    found: dict[tuple[int, str], list[str]] = {}
    for name in sizes:
        if match := BLOCK.search(name):
            found.setdefault((int(match[1]), match[2]), []).append(name)
    return [Unit(*key, tuple(names), sum(sizes[n] for n in names)) for key, names in sorted(found.items())]


@dataclass(frozen=True, kw_only=True)
class HalfTuning(Freeze):
    """Freeze half of the blocks; embeddings, head and final norm are trained.

    - `round`: another number chooses another half. A round is a node: its `start` is the round before.
    - `level`: `category` as above; `layer` freezes half of the layers; `model` half of all units, wherever they are.
    - `balance`: `count` halves by the number of units, `parameters` by their sizes (with grouped queries, two of the
      four projections of attention are not half of its parameters).
    """

    round: int = 0
    level: Literal["category", "layer", "model"] = "category"
    balance: Literal["count", "parameters"] = "count"

    def __post_init__(self) -> None:
        if self.level not in ("category", "layer", "model"):
            raise ValueError(f"level: found {self.level!r}, expected category, layer or model")
        if self.balance not in ("count", "parameters"):
            raise ValueError(f"balance: found {self.balance!r}, expected count or parameters")

    def frozen(self, model: nn.Module, seed: int) -> set[str]:
        units, key = units_of(sizes_of(model)), f"half/{seed}/{self.round}"
        chosen: list[Unit] = []
        if self.level == "model":
            chosen = self._half([units], key)
        elif self.level == "layer":
            layers = [
                Unit(n, "", tuple(p for u in of for p in u.parameters), sum(u.size for u in of))
                for n, of in _by_layer(units).items()
            ]
            chosen = self._half([layers], key)
        else:
            for belongs in (ATTENTION.__contains__, FEED_FORWARD.__contains__, lambda name: name.endswith("norm")):
                of_layers = [[u for u in of if belongs(u.name)] for of in _by_layer(units).values()]
                chosen += self._half(of_layers, key)
        return {name for unit in chosen for name in unit.parameters}

    def _half(self, groups: Sequence[Sequence[Unit]], key: str) -> list[Unit]:
        """Half of every group; where that is no whole number, what one group takes too much the next takes too
        little.
        """
        chosen: list[Unit] = []
        owed = 0.0
        # in a random order, so that it is not always the first layers that take more
        for group in sorted(groups, key=lambda of: _draw(of[0], f"{key}/groups") if of else b""):
            weight = (lambda unit: unit.size) if self.balance == "parameters" else (lambda unit: 1)
            owed += sum(map(weight, group)) / 2
            for unit in sorted(group, key=lambda unit: _draw(unit, key)):
                if owed - weight(unit) >= -owed:  # closer to one half with it than without it
                    chosen.append(unit)
                    owed -= weight(unit)
        return chosen


@dataclass(frozen=True, kw_only=True)
class BitFit(Freeze):
    """Train vectors only: biases, and in a Llama, which has none, the norms (Ben Zaken et al., ACL 2022)."""

    def frozen(self, model: nn.Module, seed: int) -> set[str]:
        return {name for name in sizes_of(model) if not name.endswith((".bias", "norm.weight"))}


def _by_layer(units: Iterable[Unit]) -> dict[int, list[Unit]]:
    layers: dict[int, list[Unit]] = {}
    for unit in units:
        layers.setdefault(unit.layer, []).append(unit)
    return layers


def _draw(unit: Unit, key: str) -> bytes:
    """A number that hangs on the key and on the unit's own name."""
    return hashlib.blake2b(f"{key}/{unit.layer}/{unit.name}".encode(), digest_size=8).digest()
