"""The model of a training before its first step: a draw, or what its transforms and its adapter make of its start; then
what is frozen, and the numbers of objectives that have some.
"""

from __future__ import annotations

import hashlib
from functools import partial

from models.adapter import attach
from models.build import build, structure
from models.freeze import apply
from models.own_numbers import give_numbers
from models.transfer import NoWay, StartedModel, start_from
from pipeline.contract import StoredFile
from pipeline.errors import DataError
from stages.training.first_batch import first_batch
from stages.training.scratch import Scratch
from stages.training.training import Training


def first_model(training: Training, *, filled: bool) -> StartedModel:
    """The model on the CPU. Unless it is to be `filled`, a checkpoint brings all tensors but an adapter's base: then
    nothing is drawn, and no SVD made, to be written over. All processes of a group call it alike.
    """
    node = training.node
    if filled or node.adapter is not None:
        started = _filled(training)
    else:
        started = StartedModel(structure(node.model, training.vocab_size, training.length, device="meta"), [])
    if node.freeze is not None:
        try:
            apply(node.freeze, started.model, node.seed)
        except ValueError as error:
            raise DataError("pretrain.freeze", str(error), "a policy that leaves parameters to train") from None
    give_numbers(started.model, node.objectives)
    return started


def _filled(training: Training) -> StartedModel:
    """In fp32."""
    node, start, keep = training.node, training.start, Scratch(training.scratch)
    form = node.model, training.vocab_size, training.length
    if start is None:
        return StartedModel(build(*form, node.seed, keep=keep), [])
    try:
        started = start_from(start.local(), *form, node.seed, keep, node.transform, partial(first_batch, training))
    except NoWay as error:
        raise DataError("pretrain.start", str(error), "a model that this one can start from") from None
    if node.adapter is not None:
        attach(node.adapter, started.model, node.seed, digest_of(start))
    return started


def digest_of(file: StoredFile) -> str:
    """SHA-256 of a file, as its store has it on record, or read."""
    if file.sha256:
        return file.sha256
    with open(file.local(), "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
