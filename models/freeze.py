"""Which parameters are not trained: the slot, and a policy by name.

A policy is a frozen value with one method. A new one is a file with a class of this base and a line in
`stages.catalog.FREEZE`. Frozen parameters get no gradient, no decay and no state of the optimiser, alone and in shards.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.fields import Typed

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class Freeze(metaclass=Typed):
    """Base of all policies."""

    def frozen(self, model: nn.Module, seed: int) -> Iterable[str]:
        """Full names of the parameters that are not trained: a function of the model's structure and the seed."""
        raise NotImplementedError(f"{type(self).__name__}.frozen")

    def unfit(self, names: Collection[str]) -> tuple[str, str] | None:
        """What it asks of a model that one with parameters of these names has not: what was found, what was expected.
        It is asked before anything runs.
        """
        return None


@dataclass(frozen=True, kw_only=True)
class ByName(Freeze):
    """Train the parameters whose name holds a match of one of `train`, and freeze all others.

    train  regular expressions
    """

    train: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "train", tuple(self.train))
        for pattern in self.train:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"train: found {pattern!r}, expected a regular expression: {error}") from None

    def frozen(self, model: nn.Module, seed: int) -> Iterable[str]:
        return [n for n, _ in model.named_parameters() if not any(re.search(pattern, n) for pattern in self.train)]

    def unfit(self, names: Collection[str]) -> tuple[str, str] | None:
        for pattern in self.train:
            if not any(re.search(pattern, name) for name in names):
                some = ", ".join(dict.fromkeys(re.sub(r"\d+", "N", name) for name in names))
                return f"the pattern {pattern!r}, which matches no parameter of the model", f"a part of {some}"
        return None if self.train else ("no pattern, so nothing to train", "one pattern, or more")


def apply(policy: Freeze, model: nn.Module, seed: int) -> None:
    """Switch off the gradients of what the policy freezes; call it before the model is cut into shards.

    Raises ValueError when the policy names what the model has not, or leaves nothing to train.
    """
    held = dict(model.named_parameters())
    if wrong := policy.unfit(held):
        raise ValueError("freeze: found {}, expected {}".format(*wrong))
    frozen = set(policy.frozen(model, seed))
    if unknown := sorted(frozen - held.keys()):
        raise ValueError(f"freeze: no parameter {unknown[0]!r}")
    if len(frozen) == len(held):
        raise ValueError("freeze: it leaves no parameter to train")
    for name in frozen:
        held[name].requires_grad_(False)
