"""The adapter of a training in the model that it starts from, and what tells which model that is."""

from __future__ import annotations

import hashlib

from models.adapter import attach
from models.llama import LlamaModel
from pipeline.contract import StoredFile
from stages.training.training import Training


def with_adapter(model: LlamaModel, training: Training) -> LlamaModel:
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
