"""A model that starts from another trained one, of its own kind or of another.

Same configuration: all tensors are taken over. Another kind: the trained model is merged into dense matrices, which
the new kind starts from, as it would from a draw (`models.build.build` with `dense`).
"""

from __future__ import annotations

from pathlib import Path

from models.build import build, structure
from models.convert import dense_tensors
from models.files import load
from models.llama import LlamaModel
from models.presets import Llama
from models.starts import Keep


class NoWay(ValueError):
    """No rule leads from the trained model to the wanted one."""


def start_from(
    path: Path, config: Llama, vocab_size: int, max_length: int, seed: int, keep: Keep | None = None
) -> LlamaModel:
    """The model on the CPU in fp32; raises NoWay. All processes of a group call it alike."""
    trained = load(path)
    if trained.vocab_size != vocab_size:
        raise NoWay(f"a vocabulary of {trained.vocab_size}, and rows of one of {vocab_size}")
    for name in ("shape", "rope_theta", "norm_eps"):
        found, wanted = getattr(trained.config, name), getattr(config, name)
        if found != wanted:
            raise NoWay(f"a model of {name} {found}, and one of {wanted} to train")
    if trained.config == config:
        model = structure(config, vocab_size, max_length)
        model.load_state_dict(trained.state_dict())
        return model
    if not trained.config.merges:
        raise NoWay(f"a {type(trained.config).__name__} with an activation between its factors, which no matrix equals")
    if not config.takes_weights:
        raise NoWay(f"a {type(config).__name__}, which has no rule for a start from trained weights")
    dense = {name.removeprefix("model."): tensor for name, tensor in dense_tensors(trained).items()}
    return build(config, vocab_size, max_length, seed, dense=dense, keep=keep)
