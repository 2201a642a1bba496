"""Trainings by the project's own loop in this process, and the plain loss of what comes out."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.objectives.rows import Document
from models.files import save
from models.llama import LlamaModel
from models.optim_config import AdamW, Cosine
from models.presets import Llama
from models.reweight_config import Uniform
from stages.tokens.packed_rows import PackedRows
from stages.training.job import Job
from stages.training.row_source import RowSource
from stages.training.scoring import score_documents
from stages.training.worker import Trainer

LENGTH, BATCH = 96, 16
MODEL = Llama("1m", hidden=64, inter=128, layers=2, heads=2, init_std=0.06)


def train(rows: PackedRows, seed: int, steps: int, *, lr: float = 0.01, start: Path | None = None, **parts: Any):
    """The trained model. `parts`: slots of a training, and other fields of `Job`."""
    with tempfile.TemporaryDirectory() as scratch:
        job = Job(
            sources=(RowSource("rows", rows, 1.0),),
            **{
                "model": MODEL, "reweight": Uniform(), "optimizer": AdamW(lr=lr), "lr_schedule": Cosine(),
                "steps": steps, "batch_rows": BATCH, "micro_batches": 1, "seed": seed, "attend": "document",
                "precision": "fp32", "reduce": "tree", "shard": 1, "threads": 1, "device": "cpu",
                "checkpoint_every": steps, "log_interval": steps, "scratch": scratch,
                "start": None if start is None else str(start), **parts,
            },
        )  # fmt: skip
        trainer = Trainer(job, 0, 1, torch.device("cpu"))
        for _ in range(steps):
            trainer.train_step()
        trainer.feed.close()
    return trainer.model.eval()


def kept(model: LlamaModel, path: Path) -> Path:
    """The model as a file, for runs that start from it."""
    save(path, model)
    return path


def losses(model: LlamaModel, documents: Sequence[Document]) -> np.ndarray:
    """Plain cross-entropy of each document, nats a token."""
    scores = score_documents(model, documents, [len(one) for one in documents], 0, 32)
    return scores.nats / np.maximum(1, scores.tokens)


def loss(model: LlamaModel, documents: Sequence[Document]) -> float:
    """Plain cross-entropy, nats a token."""
    return score_documents(model, documents, [len(one) for one in documents], 0, 32).loss
