"""The micro-batches of one process: rows of the order, cut and collated, made ahead by one thread.

A thread prepares the next step while the model computes this one. What it prepares is a function of the step, so it
decides no bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from models.batch import Batch
from models.dropout import Dropout
from models.neftune import EmbeddingNoise
from pipeline.errors import DataError
from stages.tokens.packed_rows import LOG_PRIOR
from stages.training.collate import Key, Rows, check_shape
from stages.training.gradients import subtrees
from stages.training.training import Training

STEPS_AT_ONCE = 64  # steps whose rows are drawn in one call, since numpy's calls cost more than their work


class Feed:
    """The micro-batches of one process, and how many rows of the batch each process has.

    state  what a checkpoint keeps of it: JSON values
    """

    state: list[int] | None = None

    def __init__(self, training: Training, process_rank: int, world_size: int, device: torch.device) -> None:
        self.training, self.node, self.device = training, training.node, device
        shares = subtrees(self.node.micro_batches, world_size)
        self.rows_each = self.node.batch_rows // self.node.micro_batches
        self.micro_batches = shares[process_rank]
        self.rows_of = [len(share) * self.rows_each for share in shares]
        self._first_rows = np.cumsum([0, *(source.rows.rows for source in training.sources[:-1])])
        self._first, self._drawn = -1, (np.zeros((0, 0), np.int64),) * 2
        self._ahead: tuple[int, Future[list[Batch]]] | None = None
        self._thread = ThreadPoolExecutor(1, "feed")

    def batch(self, step: int) -> list[Batch]:
        """This process's micro-batches of a step, in order, on the device."""
        if self._ahead is not None and self._ahead[0] == step:
            made = self._ahead[1].result()
        else:
            if self._ahead is not None:
                self._ahead[1].result()  # the thread alone draws
            made = self._make(step)
        self._ahead = (step + 1, self._thread.submit(self._make, step + 1)) if step + 1 < self.node.steps else None
        return [batch.to(self.device) for batch in made]

    def by_source(self, numbers: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Sum of the values of rows with these global numbers, by the source of each, fp64 [sources]."""
        places = np.searchsorted(self._first_rows, numbers.numpy(), side="right") - 1
        return torch.from_numpy(np.bincount(places, values.numpy(), len(self._first_rows)))

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(cancel_futures=True)

    def rows_at(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Sources and rows of the whole batch of a step, in its order."""
        if not self._first <= step < self._first + len(self._drawn[0]):
            self._drawn = self.training.sampler.batch(step, min(STEPS_AT_ONCE, self.node.steps - step))
            self._first = step
        sources, rows = (part[step - self._first] for part in self._drawn)
        return sources, rows

    def note(self, step: int, rows_m: torch.Tensor) -> None:
        """Told after each step which rows it has used, over all processes. This feed knows them by the step."""

    def _make(self, step: int) -> list[Batch]:
        part, key = self.training.at(step), Key(self.node.seed, step, self.node.steps)
        made = []
        for rows in self._rows(step, part.cut):
            batch = part.collate.collate(rows, key)
            check_shape(part.collate, batch, len(rows.ids))
            if batch.rows_b is None:
                batch = replace(batch, rows_b=torch.from_numpy(rows.numbers))
            if self.node.unit != "row":
                batch = replace(batch, pieces=self._pieces(rows.sources, rows.numbers - self._first_rows[rows.sources]))
            if self.node.neftune:
                # by the rows' own numbers, whatever the collator says of them
                keys = tuple(key.number(row, "neftune", size=7) for row in rows.numbers.tolist())
                batch = replace(batch, noise=EmbeddingNoise(self.node.neftune, keys))
            if self.node.dropout:
                keys = tuple(key.number(row, "dropout", size=7) for row in rows.numbers.tolist())
                batch = replace(batch, dropout=Dropout(self.node.dropout, keys))
            made.append(batch if self.device.type == "cpu" else _pinned(batch))
        return made

    def _rows(self, step: int, cut: bool) -> Iterator[Rows]:
        """The rows of this process's micro-batches of a step, in order."""
        sources, rows = self.rows_at(step)
        for m in self.micro_batches:
            piece = slice(m * self.rows_each, (m + 1) * self.rows_each)
            yield self._take(sources[piece], rows[piece], cut)

    def _take(self, sources: np.ndarray, rows: np.ndarray, cut: bool) -> Rows:
        training, count = self.training, len(rows)
        ids, documents = (np.empty((count, training.length + 1), np.int64) for _ in range(2))
        priors = np.empty(count, np.float32)
        columns = {name: np.empty(count) for name in self.node.reads}
        samples = any(source.rows.of_samples for source in training.sources)
        learned = np.ones((count, training.length + 1), bool) if samples else None
        for source in np.unique(sources):
            at, packed = np.flatnonzero(sources == source), training.sources[source].rows
            taken = packed.take(rows[at])
            ids[at], documents[at] = taken.ids, taken.segments
            priors[at] = 0.0 if self.node.order.weighs else taken.log_priors
            if learned is not None and taken.learned is not None:
                learned[at] = taken.learned
            for name, values in columns.items():
                values[at] = packed.means(name, rows[at])
        first = training.sources[0].rows
        numbers = self._first_rows[sources] + rows
        if ids.max(initial=0) >= first.vocab_size:
            row = numbers[(ids >= first.vocab_size).any(1)][0]
            found = f"the token {ids.max()}, and a vocabulary of {first.vocab_size}"
            raise DataError(f"pretrain.rows, row {row}", found, "tokens of the vocabulary", "siftloom verify RUN")
        specials = dict(first.specials)
        made = Rows(ids, documents, numbers, sources, priors, columns, cut, first.end_id, first.vocab_size, specials)
        return made if learned is None else made._replace(learned=learned, **self._groups(sources, rows))

    def _groups(self, sources: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Group and role of each piece of some rows; a piece of a document is in no group."""
        found = {source: self.training.sources[source].rows for source in np.unique(sources).tolist()}
        parts = {source: one.groups(rows[sources == source]) for source, one in found.items() if one.of_samples}
        width = max((group.shape[1] for group, _ in parts.values()), default=0)
        both = np.zeros((2, len(rows), width), np.int64)
        for source, part in parts.items():
            both[:, np.flatnonzero(sources == source), : part[0].shape[1]] = part
        return {"groups": both[0], "roles": both[1]}

    def _pieces(self, sources: np.ndarray, rows: np.ndarray) -> dict[str, torch.Tensor]:
        """Carried values of the pieces of some rows: the prior's, where the loss counts one, and those that weights and
        losses of pieces ask for.
        """
        held = {source: self.training.sources[source].rows for source in np.unique(sources).tolist()}
        in_loss = not self.node.order.weighs and any(one.carries(LOG_PRIOR) for one in held.values())
        names = [LOG_PRIOR] * in_loss
        names += [self.node.reference] * (self.node.reference is not None)
        names += self.node.reads_of_groups
        found = {}
        for name in names:
            parts = {source: one.pieces(name, rows[sources == source]) for source, one in held.items()}
            values = np.full((len(rows), max(part.shape[1] for part in parts.values())), np.nan)
            for source, part in parts.items():
                values[np.flatnonzero(sources == source), : part.shape[1]] = part
            found[name] = torch.from_numpy(values)
        return found


def _pinned(batch: Batch) -> Batch:
    """The same batch in memory that a device copies from while it computes."""
    tensors = {name: value for name, value in vars(batch).items() if isinstance(value, torch.Tensor)}
    held: dict[str, Any] = {name: value.pin_memory() for name, value in tensors.items()}
    for part in ("columns", "pieces"):
        held[part] = {name: value.pin_memory() for name, value in getattr(batch, part).items()}
    return Batch(**{**vars(batch), **held})
