"""From a configuration to a module: `build` makes the structure and fills it.

Every tensor is a function of (seed, its full name): the process's random state, the number of processes and
the order of construction play no part. A LOST, a low-rank and a dense model of one seed share the draw W of
every projection, and all other tensors.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from models.attention import MakeLinear
from models.baselines import SLTrainLinear
from models.llama import LlamaModel, RMSNorm
from models.lost import LostLinear
from models.lost_init import Factors, cola_factors, draw, fold, lost_factors, spectrum, split
from models.presets import Llama, Lost, LowRank, SLTrain


def build(
    config: Llama,
    vocab_size: int,
    max_length: int,
    seed: int,
    *,
    dense: Mapping[str, Tensor] | None = None,
) -> LlamaModel:
    """A model on the CPU in fp32, ready to train.

    `dense`: weights of a dense Llama to start from instead of a draw, under this package's names (see
    `models.convert.read_dense`); projections become factors of them. Raises KeyError or ValueError when a
    weight is missing or has another shape.
    """
    model = structure(config, vocab_size, max_length)
    fill(model, seed, dense)
    return model


def structure(config: Llama, vocab_size: int, max_length: int) -> LlamaModel:
    """The module with unfilled parameters; under `torch.device("meta")` it takes no memory."""
    return LlamaModel(config, vocab_size, max_length, linear_maker(config))


def linear_maker(config: Llama) -> MakeLinear:
    """The constructor of a projection `(name, in, out) -> module` for this kind of model."""

    def make(name: str, in_width: int, out_width: int) -> nn.Module:
        match config:
            case Lost():
                return LostLinear(
                    in_width,
                    out_width,
                    rank=config.rank,
                    kept=config.kept(in_width),
                    gamma=config.gamma,
                    activation=config.activation,
                )
            case LowRank():
                act = config.activation
                return LostLinear(in_width, out_width, rank=config.rank, kept=0, gamma=1.0, activation=act)
            case SLTrain():
                kept = config.kept(out_width, in_width)
                return SLTrainLinear(in_width, out_width, rank=config.rank, kept=kept, alpha=config.alpha)
            case _:
                return nn.Linear(in_width, out_width, bias=False)

    return make


@torch.no_grad()
def fill(model: LlamaModel, seed: int, dense: Mapping[str, Tensor] | None = None) -> None:
    """Fill all parameters and buffers of an unwrapped CPU model, from the seed or from dense weights."""
    config = model.config

    def weight(name: str, out_width: int, in_width: int) -> Tensor:
        if dense is None:
            return draw(seed, name, out_width, in_width, config.init_std)
        found = dense[f"{name}.weight"]
        if found.shape != (out_width, in_width):
            expected = (out_width, in_width)
            raise ValueError(f"{name}.weight: found shape {tuple(found.shape)}, expected {expected}")
        return found.float()

    for name, module in model.named_modules():
        match module:
            case LostLinear():
                factors = start(config, weight(name, module.out_width, module.in_width), seed, name)
                module.A.copy_(factors.A_ri)
                module.B.copy_(factors.B_or)
                if module.W_s is not None and module.I is not None:
                    module.W_s.copy_(factors.W_ok)
                    module.I.copy_(factors.I_k)
            case SLTrainLinear():
                if dense is not None:
                    raise ValueError("sltrain: has no rule for starting from dense weights; use lost or low_rank")
                module.start(seed, name)
            case nn.Linear():
                module.weight.copy_(weight(name, module.out_features, module.in_features))
            case nn.Embedding():
                module.weight.copy_(weight(name, module.num_embeddings, module.embedding_dim))
            case RMSNorm():
                module.weight.fill_(1.0) if dense is None else module.weight.copy_(dense[f"{name}.weight"])


def start(config: Llama, W_oi: Tensor, seed: int, name: str) -> Factors:
    """The factors, gamma folded in, that the layer `name` of this kind of model takes from the weight W."""
    nothing_k = torch.empty(0, dtype=torch.int64)
    match config:
        case Lost():
            return fold(lost_factors(W_oi, config, seed, name), config)
        case LowRank(init="cola"):
            A_ri, B_or = cola_factors(config.rank, W_oi.shape[0], W_oi.shape[1], seed, name)
        case LowRank():
            A_ri, B_or = split(spectrum(W_oi), config.rank)
        case _:
            raise AssertionError(f"{type(config).__name__} has no factors")
    return Factors(A_ri, B_or, W_oi[:, nothing_k], nothing_k)
