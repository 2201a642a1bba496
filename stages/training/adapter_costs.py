"""What trainings keep for what they train: the table that holds adapters against full tuning."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from models.memory import checkpoint_bytes, state_bytes
from stages.training.settings import TrainingSettings

COLUMNS = ["training", "numbers trained", "gradients", "kept by the optimiser", "checkpoint"]


def against_full(run: TrainingSettings, vocab_size: int) -> dict[str, Any]:
    """A training with an adapter, and the same without."""
    full = dataclasses.replace(run, adapter=None)
    return cost_table([(run.label, run), (full.label, full)], vocab_size)


def cost_table(runs: Sequence[tuple[str, TrainingSettings]], vocab_size: int) -> dict[str, Any]:
    """A figure, from the configurations alone."""
    return {
        "kind": "table",
        "title": "What is trained, and what that takes",
        "section": "training",
        "note": "Of one process with whole copies of the weights. Checkpoints hold what is trained alone.",
        "units": [None, None, "bytes", "bytes", "bytes"],
        "best": [None, "min", "min", "min", "min"],
        "columns": COLUMNS,
        "rows": [[label, *_costs(run, vocab_size)] for label, run in runs],
    }


def _costs(run: TrainingSettings, vocab_size: int) -> list[int]:
    state = state_bytes(run.model, vocab_size, optimizer=run.optimizer, adapter=run.adapter)
    saved = checkpoint_bytes(state, adapted=run.adapter is not None)
    return [state.gradients // 4, state.gradients, state.optimiser, saved]
