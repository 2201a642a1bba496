"""From a configuration to a module: `structure` makes it, `fill` gives its tensors their start, `build` does both.

Every tensor is a function of (seed, its full name): the process's random state, the number of processes and
the order of construction play no part. A LOST, a low-rank and a dense model of one seed share the draw W of
every projection, and all other tensors.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from models.llama import LlamaModel, RMSNorm
from models.lost_init import draw
from models.presets import Llama
from models.projection import ProjectionModule
from models.starts import Keep, shared_starts


def build(
    config: Llama,
    vocab_size: int,
    max_length: int,
    seed: int,
    *,
    dense: Mapping[str, Tensor] | None = None,
    keep: Keep | None = None,
) -> LlamaModel:
    """A model on the CPU in fp32, ready to train.

    `dense`: weights of a dense Llama to start from instead of a draw, under this package's names (see
    `models.convert.read_dense`); projections become factors of them. `keep`: where starts that took an SVD are kept.
    Raises KeyError or ValueError when a weight is missing or has another shape.
    """
    model = structure(config, vocab_size, max_length)
    fill(model, seed, dense, keep)
    return model


def structure(config: Llama, vocab_size: int, max_length: int, device: str = "cpu") -> LlamaModel:
    """The module with unfilled parameters; on "meta" it takes no memory."""

    def linear(name: str, in_width: int, out_width: int) -> nn.Module:
        return config.module(out_width, in_width)

    with torch.device("meta"):
        model = LlamaModel(config, vocab_size, max_length, linear)
    # torch's own start of each layer, which nobody would see, is a third of the time to build a small model
    return model if device == "meta" else model.to_empty(device=device)


@torch.no_grad()
def fill(model: LlamaModel, seed: int, dense: Mapping[str, Tensor] | None = None, keep: Keep | None = None) -> None:
    """Fill all parameters and buffers of an unwrapped CPU model, from the seed or from dense weights.

    All processes of a group call it alike: starts that take an SVD are shared out among them.
    """
    config = model.config

    def weight(name: str, out_width: int, in_width: int) -> Tensor:
        if dense is None:
            return draw(seed, name, out_width, in_width, config.init_std)
        found = dense[f"{name}.weight"]
        if found.shape != (out_width, in_width):
            expected = (out_width, in_width)
            raise ValueError(f"{name}.weight: found shape {tuple(found.shape)}, expected {expected}")
        return found.float()

    if dense is not None and not config.takes_weights:
        raise ValueError(
            f"{type(config).__name__}: has no rule for starting from trained weights; use lost or low_rank"
        )
    slow: dict[str, ProjectionModule] = {}
    for name, module in model.named_modules():
        match module:
            case ProjectionModule() if config.slow_start:
                slow[name] = module
            case ProjectionModule():
                put(module, start(config, weight, name, module, seed))
            case nn.Linear():
                module.weight.copy_(weight(name, module.out_features, module.in_features))
            case nn.Embedding():
                module.weight.copy_(weight(name, module.num_embeddings, module.embedding_dim))
            case RMSNorm():
                module.weight.fill_(1.0) if dense is None else module.weight.copy_(dense[f"{name}.weight"])
    shared_starts(slow, lambda name, module: start(config, weight, name, module, seed), put, keep)


def start(config: Llama, weight, name: str, module: ProjectionModule, seed: int) -> dict[str, Tensor]:
    """The tensors that a projection starts with."""
    o, i = module.out_width, module.in_width
    return config.start(lambda: weight(name, o, i), o, i, seed, name)


def put(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy tensors into the parameters and buffers of these names; all of them must be there."""
    held = {**dict(module.named_parameters(recurse=False)), **dict(module.named_buffers(recurse=False))}
    assert held.keys() == tensors.keys(), f"a start gives {sorted(tensors)}, the module holds {sorted(held)}"
    for name, tensor in tensors.items():
        held[name].data.copy_(tensor)
