"""A model that starts from another trained one, of its own kind or of another, as it is or transformed.

Same configuration: all tensors are taken over. Another kind: the trained model is merged into dense matrices, which
the new kind starts from, as it would from a draw (`models.build.build` with `dense`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from models.adapter import adapter_of
from models.batch import Batch
from models.build import build, structure
from models.convert import dense_tensors
from models.files import load
from models.llama import LlamaModel
from models.presets import Llama
from models.starting import no_plain, no_way
from models.starts import Keep
from models.transforms import Similarities, Transform, similarities


class NoWay(ValueError):
    """No rule leads from the trained model to the wanted one."""


class StartedModel(NamedTuple):
    """A model, and the similarities of layers that each of its transforms asked for; empty where it asked for none."""

    model: LlamaModel
    similarities: list[Similarities]


def merge(model: LlamaModel) -> LlamaModel:
    """The plain model that computes what one with an adapter does; raises NoWay where there is none."""
    adapter = adapter_of(model)
    assert adapter is not None, "a plain model"
    if adapter.merged(model.config) is None:
        raise NoWay("; expected ".join(no_plain(adapter, model.config)))
    return adapter.merge(model)


def start_from(
    path: Path,
    config: Llama,
    vocab_size: int,
    max_length: int,
    seed: int,
    keep: Keep | None = None,
    transforms: Sequence[Transform] = (),
    batch: Callable[[], Batch] | None = None,
) -> StartedModel:
    """The model on the CPU in fp32; raises NoWay. All processes of a group call it alike. `batch`: rows to measure
    layers on, for transforms that ask for them.
    """
    trained = load(path)
    if trained.adapter is not None:
        trained = merge(trained)
    measured: list[Similarities] = []
    for one in transforms:
        try:
            one.config(trained.config)
            if one.measures:
                assert batch is not None, "a transform that measures, without rows"
            measured.append(similarities(trained, batch()) if one.measures and batch else ())
            trained = one.apply(trained, measured[-1])
        except ValueError as error:
            raise NoWay(f"{type(one).__name__}.{error}") from None
    if trained.vocab_size != vocab_size:
        raise NoWay(f"a vocabulary of {trained.vocab_size}, and rows of one of {vocab_size}")
    if reason := no_way(trained.config, config):
        raise NoWay("; expected ".join(reason))
    if trained.config == config:
        model = structure(config, vocab_size, max_length)
        model.load_state_dict(trained.state_dict())
        return StartedModel(model, measured)
    dense = {name.removeprefix("model."): tensor for name, tensor in dense_tensors(trained).items()}
    if trained.config.tied:
        dense["lm_head.weight"] = dense["embed_tokens.weight"]  # a model that is to have a head of its own starts so
    return StartedModel(build(config, vocab_size, max_length, seed, dense=dense, keep=keep), measured)
