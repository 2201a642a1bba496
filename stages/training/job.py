"""A training run as one plain value, and the batches that it implies.

A `Job` holds all that a training process needs and travels to it whole; nothing in it depends on how many
processes there are. `Feed` cuts the global batch of a step into the micro-batches of one process.

Letters: b rows of a micro-batch, t places of a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from models.optim_config import AdamW, Schedule
from models.presets import Llama
from models.reweight_config import Reweight
from stages.tokens.rows import PackedRows, has_label
from stages.training.sampler import Sampler

if TYPE_CHECKING:
    import torch

STEPS_AT_ONCE = 64  # steps whose rows are drawn in one call, since numpy's calls cost more than their work


@dataclass(frozen=True)
class RowSource:
    """One pack node of a mixture: its fingerprint, its rows, its share of the tokens seen."""

    name: str
    rows: PackedRows
    share: float


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to train on what, and how. The first block decides every bit of the result, the second none."""

    sources: tuple[RowSource, ...]
    model: Llama
    reweight: Reweight
    optimizer: AdamW
    schedule: Schedule
    steps: int
    batch_rows: int
    micro_batches: int
    seed: int
    attend: Literal["row", "document"]
    precision: Literal["fp32", "bf16"]
    reduce: Literal["tree", "ring"]
    shard: int
    threads: int
    device: Literal["auto", "cpu", "cuda"]

    checkpoint_every: int
    log_interval: int
    scratch: str

    @property
    def length(self) -> int:
        """T, tokens that the model sees of a row."""
        return self.sources[0].rows.length

    @property
    def vocab_size(self) -> int:
        return self.sources[0].rows.vocab_size

    @property
    def sampler(self) -> Sampler:
        return Sampler(
            names=tuple(source.name for source in self.sources),
            rows=tuple(source.rows.rows for source in self.sources),
            shares=tuple(source.share for source in self.sources),
            batch_rows=self.batch_rows,
            seed=self.seed,
        )


class MicroBatch(NamedTuple):
    """`labels` is one place ahead of `ids`, `IGNORE` at the end of a piece and in filling; `segments`
    only when attention is cut.
    """

    ids_bt: torch.Tensor
    labels_bt: torch.Tensor
    segments_bt: torch.Tensor | None
    log_prior_b: torch.Tensor


class Feed:
    """The micro-batches of one process, and how many rows of the batch each process has."""

    def __init__(self, job: Job, process_rank: int, world_size: int, device: torch.device) -> None:
        from stages.training.gradients import subtrees

        self.job, self.device = job, device
        self.sampler = job.sampler
        shares = subtrees(job.micro_batches, world_size)
        self.rows_each = job.batch_rows // job.micro_batches
        self.mine = shares[process_rank]
        self.rows_of = [len(share) * self.rows_each for share in shares]
        self._first, self._drawn = -1, (np.zeros((0, 0), np.int64),) * 2

    def batch(self, step: int) -> list[MicroBatch]:
        """This process's micro-batches of a step, in order."""
        if not self._first <= step < self._first + len(self._drawn[0]):
            self._first = step
            self._drawn = self.sampler.batch(step, min(STEPS_AT_ONCE, self.job.steps - step))
        sources, rows = (part[step - self._first] for part in self._drawn)
        each = self.rows_each
        return [
            self._micro_batch(sources[m * each : (m + 1) * each], rows[m * each : (m + 1) * each]) for m in self.mine
        ]

    def _micro_batch(self, sources: np.ndarray, rows: np.ndarray) -> MicroBatch:
        import torch

        from models.losses import IGNORE

        ids, segments = (np.empty((len(rows), self.job.length + 1), np.int64) for _ in range(2))
        priors = np.empty(len(rows), np.float32)
        for source in np.unique(sources):
            at = np.flatnonzero(sources == source)
            taken = self.job.sources[source].rows.take(rows[at])
            ids[at], segments[at], priors[at] = taken.ids, taken.segments, taken.log_priors
        inputs, labels = ids[:, :-1], ids[:, 1:].copy()
        labels[~has_label(segments)] = IGNORE
        inside = torch.from_numpy(segments[:, :-1].copy()).to(self.device) if self.job.attend == "document" else None
        return MicroBatch(
            torch.from_numpy(inputs.copy()).to(self.device),
            torch.from_numpy(labels).to(self.device),
            inside,
            torch.from_numpy(priors).to(self.device),
        )
