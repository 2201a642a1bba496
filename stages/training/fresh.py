"""The model of a training before its first step: a draw, or what its transforms and its adapter make of its start."""

from __future__ import annotations

import hashlib
from functools import partial

from models.adapter import attach
from models.build import build
from models.llama import LlamaModel
from models.transfer import NoWay, StartedModel, start_from
from pipeline.contract import StoredFile
from pipeline.errors import DataError
from stages.training.first_batch import first_batch
from stages.training.scratch import Scratch
from stages.training.training import Training


def fresh(training: Training) -> StartedModel:
    """On the CPU in fp32. All processes of a group call it alike."""
    node, start, keep = training.node, training.start, Scratch(training.scratch)
    form = node.model, training.vocab_size, training.length
    if start is None:
        return StartedModel(build(*form, node.seed, keep=keep), [])
    try:
        started = start_from(start.local(), *form, node.seed, keep, node.transform, partial(first_batch, training))
    except NoWay as error:
        raise DataError("pretrain.start", str(error), "a model that this one can start from") from None
    return started._replace(model=_with_adapter(started.model, training))


def _with_adapter(model: LlamaModel, training: Training) -> LlamaModel:
    """The model that a training starts from, frozen and with its adapter, when it has one."""
    node = training.node
    if node.adapter is not None:
        assert training.start is not None, "the plan asks for it"
        attach(node.adapter, model, node.seed, digest_of(training.start))
    return model


def digest_of(file: StoredFile) -> str:
    """SHA-256 of a file, as its store has it on record, or read."""
    if file.sha256:
        return file.sha256
    with open(file.local(), "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
