"""What is made of a trained model before it is trained on: the slot between `start` and the first step.

A transform says what it makes of a configuration, so that a plan can hold it against the model to train, and does the
same to the model. A new one is a class of this base and a line in `stages.catalog.TRANSFORMS`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from models.fields import Typed
from models.presets import Llama

if TYPE_CHECKING:
    from models.llama import LlamaModel


@dataclass(frozen=True, kw_only=True)
class Transform(metaclass=Typed):
    """Base of all transforms."""

    def config(self, trained: Llama) -> Llama:
        """The configuration that it makes of one. Raises ValueError for one that it cannot be done to."""
        raise NotImplementedError(f"{type(self).__name__}.config")

    def apply(self, model: LlamaModel) -> LlamaModel:
        """The model of that configuration, with tensors of its own; a model on the CPU."""
        raise NotImplementedError(f"{type(self).__name__}.apply")


@dataclass(frozen=True, kw_only=True)
class RopeBase(Transform):
    """Another base of the rotary positions, for texts longer than a model was trained on (Yi, arXiv 2403.04652, 7.1).

    theta  the base; larger turns slower
    """

    theta: float

    def __post_init__(self) -> None:
        if not self.theta >= 1.0:
            raise ValueError(f"theta: found {self.theta!r}, expected at least 1")

    def config(self, trained: Llama) -> Llama:
        return replace(trained, rope_theta=self.theta)

    def apply(self, model: LlamaModel) -> LlamaModel:
        from models.build import structure

        made = structure(self.config(model.config), model.vocab_size, model.max_length)
        made.load_state_dict(model.state_dict())
        return made


@dataclass(frozen=True, kw_only=True)
class Depth(Transform):
    """More layers out of those that there are (Yi-9B, arXiv 2403.04652, 7.3; SOLAR, arXiv 2312.15166).

    layers  runs of layers, first and end each, one after another: Yi-9B is [[0, 28], [12, 32]]
    init    what a layer is that stands there again: a `copy`, or an `identity`, whose two last projections are 0, so
            that the model begins as it was
    """

    layers: tuple[tuple[int, int], ...]
    init: Literal["copy", "identity"] = "copy"

    def __post_init__(self) -> None:
        if not self.layers or any(not 0 <= first < end for first, end in self.layers):
            raise ValueError(f"layers: found {self.layers!r}, expected runs of a first layer and an end above it")

    @property
    def order(self) -> list[int]:
        """The layer that each layer of the deeper model comes from."""
        return [layer for first, end in self.layers for layer in range(first, end)]

    def config(self, trained: Llama) -> Llama:
        if (last := max(self.order)) >= trained.shape.layers:
            raise ValueError(
                f"layers: found layer {last}, expected 0 to {trained.shape.layers - 1}, those of the start"
            )
        return replace(trained, layers=len(self.order))

    def apply(self, model: LlamaModel) -> LlamaModel:
        import torch

        from models.build import structure

        made = structure(self.config(model.config), model.vocab_size, model.max_length)
        outside = {name: one for name, one in model.state_dict().items() if not name.startswith("layers.")}
        made.load_state_dict(outside, strict=False)
        seen: set[int] = set()
        with torch.no_grad():
            for block, layer in zip(made.layers, self.order, strict=True):
                block.load_state_dict(model.layers[layer].state_dict())
                if layer in seen and self.init == "identity":
                    for last in (block.get_submodule("self_attn.o_proj"), block.get_submodule("mlp.down_proj")):
                        # of two factors the first stays: with both at 0 neither would ever get a gradient
                        for name, tensor in last.named_parameters(recurse=False):
                            if name != "A":
                                tensor.zero_()
                seen.add(layer)
        return made
