"""What is made of a trained model before it is trained on: the slot between `start` and the first step.

A transform says what it makes of a configuration, so that a plan can hold it against the model to train, and does the
same to the model. One that has to know how the model reads the rows to train measures it first. A new one is a class of
this base and a line in `stages.catalog.TRANSFORMS`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from models.fields import Typed
from models.presets import Llama

if TYPE_CHECKING:
    from models.batch import Batch
    from models.llama import LlamaModel

Similarities = tuple[float, ...]  # of each layer of a model: the mean cosine of what it takes and what it gives


@dataclass(frozen=True, kw_only=True)
class Transform(metaclass=Typed):
    """Base of all transforms.

    adds  special tokens that it gives rows of their own, behind those that the model has
    """

    adds: ClassVar[tuple[str, ...]] = ()

    @property
    def measures(self) -> bool:
        """Whether `apply` asks for the similarities of the model's layers."""
        return False

    def config(self, trained: Llama) -> Llama:
        """The configuration that it makes of one. Raises ValueError for one that it cannot be done to."""
        return trained

    def apply(self, model: LlamaModel, found: Similarities = ()) -> LlamaModel:
        """The model of that configuration, with tensors of its own; a model on the CPU."""
        raise NotImplementedError(f"{type(self).__name__}.apply")


def similarities(model: LlamaModel, batch: Batch) -> Similarities:
    """Of each layer the mean cosine, over the places of documents, of the state that it takes and the one that it
    gives: near 1 where a layer changes little (Yi-9B, arXiv 2403.04652, 7.3).
    """
    import torch

    assert batch.documents_bt is not None, "places of documents"
    used_n, found = (batch.documents_bt > 0).flatten(), []

    def listen(_block: torch.nn.Module, given: tuple[torch.Tensor, ...], made: torch.Tensor) -> None:
        cosines_bt = torch.nn.functional.cosine_similarity(given[0].double(), made.double(), dim=-1)
        found.append(round(float(cosines_bt.flatten()[used_n].mean()), 6))

    heard = [block.register_forward_hook(listen) for block in model.layers]
    try:
        with torch.inference_mode():
            model(batch, "states")
    finally:
        for one in heard:
            one.remove()
    return tuple(found)


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

    def apply(self, model: LlamaModel, found: Similarities = ()) -> LlamaModel:
        from models.build import structure

        made = structure(self.config(model.config), model.vocab_size, model.max_length)
        made.load_state_dict(model.state_dict())
        return made


@dataclass(frozen=True, kw_only=True)
class AddTokens(Transform):
    """Rows for special tokens that the tokenizer of the start has not: in the embedding, and in the head where it is
    another matrix. Each begins as the mean of the rows that there are, so that no new token is likelier than they are
    on average (Hewitt 2021, "Initializing New Word Embeddings for Pretrained Language Models").

    tokens  their names, in the order of their ids: those of a `tokenizer` with `extends`
    """

    tokens: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.tokens or len(set(self.tokens)) < len(self.tokens):
            raise ValueError(f"tokens: found {self.tokens!r}, expected one name or more, none of them twice")

    @property
    def adds(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.tokens

    def apply(self, model: LlamaModel, found: Similarities = ()) -> LlamaModel:
        import torch

        from models.build import structure

        made = structure(model.config, model.vocab_size + len(self.tokens), model.max_length)
        tensors = model.state_dict()
        for name in ("embed_tokens.weight", "lm_head.weight"):
            if name in tensors:
                rows_vd = tensors[name]
                new_d = rows_vd.double().mean(0, keepdim=True).to(rows_vd.dtype)
                tensors[name] = torch.cat([rows_vd, new_d.expand(len(self.tokens), -1)])
        made.load_state_dict(tensors)
        return made


@dataclass(frozen=True, kw_only=True)
class Depth(Transform):
    """More layers out of those that there are (Yi-9B, arXiv 2403.04652, 7.3; SOLAR, arXiv 2312.15166).

    layers   runs of layers, first and end each, one after another: Yi-9B is [[0, 28], [12, 32]]
    similar  instead of them how many layers stand there twice, each behind itself: those whose output is most like
             their input on the first batch of the training
    init     what a layer is that stands there again: a `copy`, or an `identity`, whose two last projections are 0, so
             that the model begins as it was
    """

    layers: tuple[tuple[int, int], ...] = ()
    similar: int = 0
    init: Literal["copy", "identity"] = "copy"

    def __post_init__(self) -> None:
        if bool(self.layers) == bool(self.similar):
            raise ValueError(f"layers, similar: found {self.layers!r} and {self.similar}, expected one of the two")
        if any(not 0 <= first < end for first, end in self.layers):
            raise ValueError(f"layers: found {self.layers!r}, expected runs of a first layer and an end above it")
        if self.similar < 0:
            raise ValueError(f"similar: found {self.similar}, expected a number of layers")

    @property
    def measures(self) -> bool:
        return bool(self.similar)

    def order(self, found: Similarities) -> list[int]:
        """The layer that each layer of the deeper model comes from."""
        if not self.similar:
            return [layer for first, end in self.layers for layer in range(first, end)]
        assert len(found) >= self.similar, "similarities of all layers"
        twice = sorted(range(len(found)), key=lambda layer: (-found[layer], layer))[: self.similar]
        return sorted([*range(len(found)), *twice])

    def config(self, trained: Llama) -> Llama:
        if self.similar > trained.shape.layers:
            raise ValueError(f"similar: found {self.similar}, expected 1 to {trained.shape.layers}, those of the start")
        if self.similar:
            return replace(trained, layers=trained.shape.layers + self.similar)
        order = self.order(())
        if (last := max(order)) >= trained.shape.layers:
            raise ValueError(
                f"layers: found layer {last}, expected 0 to {trained.shape.layers - 1}, those of the start"
            )
        return replace(trained, layers=len(order))

    def apply(self, model: LlamaModel, found: Similarities = ()) -> LlamaModel:
        import torch

        from models.build import structure

        made = structure(self.config(model.config), model.vocab_size, model.max_length)
        outside = {name: one for name, one in model.state_dict().items() if not name.startswith("layers.")}
        made.load_state_dict(outside, strict=False)
        seen: set[int] = set()
        with torch.no_grad():
            for block, layer in zip(made.layers, self.order(found), strict=True):
                block.load_state_dict(model.layers[layer].state_dict())
                if layer in seen and self.init == "identity":
                    for last in (block.get_submodule("self_attn.o_proj"), block.get_submodule("mlp.down_proj")):
                        # of two factors the first stays: with both at 0 neither would ever get a gradient
                        for name, tensor in last.named_parameters(recurse=False):
                            if name != "A":
                                tensor.zero_()
                seen.add(layer)
        return made
