"""The first batch of a training, as a model that is not trained yet is asked about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stages.training.training import Training

if TYPE_CHECKING:
    from models.batch import Batch

TOKENS = 16_384  # that layers are measured on, about


def first_batch(training: Training) -> Batch:
    """Ids of the first rows that the first step sees, with the numbers of their documents; the same in each process."""
    import numpy as np
    import torch

    from models.batch import Batch as Rows

    sources, rows = (part[0] for part in training.sampler.batch(0, 1))
    most = max(1, TOKENS // training.length)
    ids, documents = [], []
    for source, row in zip(sources[:most].tolist(), rows[:most].tolist(), strict=True):
        taken = training.sources[source].rows.take(np.array([row]))
        ids.append(taken.ids[0, :-1])
        documents.append(taken.segments[0, :-1])
    return Rows(
        ids_bt=torch.from_numpy(np.stack(ids)), documents_bt=torch.from_numpy(np.stack(documents)),
        cut=training.at(0).cut,
    )  # fmt: skip
