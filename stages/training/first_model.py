"""The model that a training begins with: a draw or a start, an adapter, frozen parts, the numbers of an objective."""

from __future__ import annotations

from models.build import build, structure
from models.freeze import apply
from models.llama import LlamaModel
from models.own_numbers import give_numbers
from models.transfer import NoWay, start_from
from pipeline.errors import DataError
from stages.training.scratch import Scratch
from stages.training.training import Training
from stages.training.with_adapter import with_adapter


def first_model(training: Training, *, filled: bool) -> LlamaModel:
    """The model on the CPU. Unless it is to be `filled`, a checkpoint brings all tensors but an adapter's base: then
    nothing is drawn, and no SVD made, to be written over.
    """
    node = training.node
    form = node.model, training.vocab_size, training.length
    model = _filled(training) if filled or node.adapter is not None else structure(*form, device="meta")
    if node.freeze is not None:
        try:
            apply(node.freeze, model, node.seed)
        except ValueError as error:
            raise DataError("pretrain.freeze", str(error), "a policy that leaves parameters to train") from None
    give_numbers(model, node.objectives)
    return model


def _filled(training: Training) -> LlamaModel:
    node, keep = training.node, Scratch(training.scratch)
    form = node.model, training.vocab_size, training.length
    if training.start is None:
        return build(*form, node.seed, keep=keep)
    try:
        return with_adapter(start_from(training.start.local(), *form, node.seed, keep, node.transform), training)
    except NoWay as error:
        raise DataError("pretrain.start", str(error), "a model that this one can start from") from None
