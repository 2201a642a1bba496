"""What is trained beside a frozen model: the slot, and what it says before anything runs.

An adapter is a frozen value, free of torch. It puts small tensors into a trained model (`attach`), freezes all others,
and takes them out again (`merge`) where a plain model computes the same. A new one is a file with a class of this base
and a line in `models.ADAPTERS`.

Review of the family: Xu et al. 2023 (arXiv 2312.12148).
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from models.accounting import Projection, projections, size
from models.fields import Typed
from models.half_tuning import ATTENTION, FEED_FORWARD

if TYPE_CHECKING:
    from pathlib import Path

    from models.llama import LlamaModel
    from models.presets import Llama

PROJECTIONS = ATTENTION + FEED_FORWARD
Targets = tuple[str, ...] | Literal["all"]


@dataclass(frozen=True, kw_only=True)
class Adapter(metaclass=Typed):
    """Base of all adapters."""

    in_shards: ClassVar[bool] = True  # whether it works on the pieces of a tensor that FSDP2 leaves to a process
    library: ClassVar[str | None] = None  # what its layers come from

    @property
    def compiles(self) -> bool:
        """Whether a block that has it can be compiled whole."""
        return True

    def tensors(self, block: Sequence[Projection], layers: int, hidden: int) -> list[tuple[int, ...]]:
        """Shapes of what it trains in a model of so many layers, whose blocks have these projections."""
        raise NotImplementedError(f"{type(self).__name__}.tensors")

    def count(self, config: Llama) -> int:
        """Numbers that it trains."""
        return sum(map(size, shapes(self, config)))

    def unfit(self, config: Llama) -> tuple[str, str] | None:
        """What it asks of a model that this one has not: what was found, what was expected. It is asked before anything
        runs.
        """
        return None

    def attach(self, model: LlamaModel, seed: int | None) -> None:
        """Put its tensors into a model; each is a function of the seed and its full name. None: they are filled later,
        and the model may be on "meta".
        """
        raise NotImplementedError(f"{type(self).__name__}.attach")

    def merged(self, config: Llama) -> Llama | None:
        """The configuration of the plain model that computes the same, of one of this configuration; None: no plain
        model does.
        """
        return config

    def merge(self, model: LlamaModel) -> LlamaModel:
        """The plain model that computes the same; `model` is used up."""
        raise NotImplementedError(f"{type(self).__name__}.merge")

    def write(self, model: LlamaModel, folder: Path) -> None:
        """Write it alone, as its library loads it into the base's Hugging Face folder."""
        raise NotImplementedError(f"{type(self).__name__}.write")

    def penalise(self, model: LlamaModel) -> None:
        """Add what it asks of its own tensors to their gradients, which are those of a step's mean loss."""

    def stepped(self, model: LlamaModel, step: int, steps: int) -> None:
        """What follows an update, while the gradients are there. What it remembers lies in buffers of the model that no
        model file holds, so that checkpoints have it.
        """


def shapes(adapter: Adapter, config: Llama) -> list[tuple[int, ...]]:
    """Shapes of what an adapter trains in a model of a configuration."""
    shape = config.shape
    return adapter.tensors(projections(shape), shape.layers, shape.hidden)


def adapter_of(model: LlamaModel) -> Adapter | None:
    """What is trained beside a model; None for a plain one."""
    assert model.adapter is None or isinstance(model.adapter, Adapter)
    return model.adapter


def attach(adapter: Adapter, model: LlamaModel, seed: int | None, base: str) -> None:
    """Freeze a model, and put an adapter into it. `base`: SHA-256 of the frozen model's file."""
    model.requires_grad_(False)
    adapter.attach(model, seed)
    model.adapter, model.base = adapter, base


def checked_targets(targets: Targets) -> tuple[str, ...]:
    """The projections that are meant, in the order of a block; raises ValueError for names that no block has."""
    if targets == "all":
        return PROJECTIONS
    for name in targets:
        if name not in PROJECTIONS:
            near = "".join(f"; did you mean {one!r}?" for one in difflib.get_close_matches(name, PROJECTIONS, n=1))
            raise ValueError(f"targets: found {name!r}, which no block has{near}; expected some of {_said()}, or all")
    if not targets:
        raise ValueError(f"targets: found none, so nothing to train; expected some of {_said()}, or all")
    return tuple(name for name in PROJECTIONS if name in targets)


def _said() -> str:
    return ", ".join(PROJECTIONS)


def targeted(block: Sequence[Projection], targets: Sequence[str]) -> list[Projection]:
    """The projections of a block with these names."""
    return [one for one in block if one.name.rpartition(".")[2] in targets]
