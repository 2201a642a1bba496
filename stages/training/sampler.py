"""Which rows a step sees: a pure function of (seed, step), without state, buffers or a shuffle stage.

The stream of samples is an endless sequence of slots; step t reads slots [tB, (t+1)B), B rows a batch.
Every block of 4096 slots holds each source exactly `quota` times, the shares rounded by largest remainder;
the turns of a source are spread evenly over the block, so that every batch is close to the shares too. "How
many rows of this source came before" is then a closed form, k. The k-th row of a source of n rows is place
k mod n of a keyed permutation of its epoch k div n: no row repeats within an epoch. Processes and
micro-batches only slice a batch, so nothing here knows of them, and the whole data state of a checkpoint is
the step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stages.permutation import Permutation

BLOCK = 4096  # slots over which the mixture is exact


@dataclass(frozen=True)
class Sampler:
    """The order of training over one or several sources.

    names       one stable name a source; they key the permutations, so that adding a source leaves the
                others' order alone
    rows        rows of each source, all at least 1
    shares      of the tokens seen, any positive scale
    batch_rows  rows of a global batch
    """

    names: tuple[str, ...]
    rows: tuple[int, ...]
    shares: tuple[float, ...]
    batch_rows: int
    seed: int

    @cached_property
    def quotas(self) -> np.ndarray:
        """Slots of a block that each source gets; they sum to `BLOCK`."""
        exact = np.asarray(self.shares, np.float64) / np.sum(self.shares) * BLOCK
        quotas = np.floor(exact).astype(np.int64)
        remainders = exact - quotas
        # ties go to the earlier source, so that the result is a function of the values alone
        for source in np.argsort(-remainders, kind="stable")[: BLOCK - int(quotas.sum())]:
            quotas[source] += 1
        return quotas

    @cached_property
    def _turns(self) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        """Per slot of a block: its source and how many turns that source had before; per source: its slots."""
        owners = np.repeat(np.arange(len(self.names)), self.quotas)
        nths = np.concatenate([np.arange(quota) for quota in self.quotas])
        order = np.lexsort((owners, (nths + 0.5) / self.quotas[owners]))
        source_of, nth_of = owners[order], nths[order]
        return source_of, nth_of, [np.flatnonzero(source_of == source) for source in range(len(self.names))]

    def _permutation(self, source: int, epoch: int) -> Permutation:
        return Permutation(self.rows[source], f"{self.seed}/{self.names[source]}/{epoch}")

    def batch(self, step: int, steps: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Sources and rows of the batches from `step` on: two int64 arrays [steps, batch_rows]."""
        source_of, nth_of, _ = self._turns
        slots = np.arange(step * self.batch_rows, (step + steps) * self.batch_rows, dtype=np.int64)
        block, place = slots // BLOCK, slots % BLOCK
        sources = source_of[place]
        turns = block * self.quotas[sources] + nth_of[place]
        rows = np.empty_like(turns)
        for source in range(len(self.rows)):
            those = np.flatnonzero(sources == source)
            rows[those] = self.rows_at(source, turns[those])
        shape = (steps, self.batch_rows)
        return sources.reshape(shape), rows.reshape(shape)

    def rows_at(self, source: int, turns: np.ndarray) -> np.ndarray:
        """Rows that a source gives at some of its turns, int64 as long as they."""
        count, rows = self.rows[source], np.empty_like(turns)
        epochs = turns // count
        for epoch in np.unique(epochs):
            at = epochs == epoch
            rows[at] = self._permutation(source, int(epoch)).forward(turns[at] % count)
        return rows

    def steps_of_row(self, source: int, row: int, steps: int) -> list[int]:
        """The steps below `steps` whose batch holds the row, in order: the inverse of `batch`."""
        count, quota = self.rows[source], int(self.quotas[source])
        slots_of_source = self._turns[2][source]
        seen: list[int] = []
        epoch = 0
        while True:
            place = int(self._permutation(source, epoch).inverse(np.array([row]))[0])
            # every turn of this epoch or a later one comes after the epoch's first slot
            if self._slot(epoch * count, quota, slots_of_source) >= steps * self.batch_rows:
                return seen
            step = self._slot(epoch * count + place, quota, slots_of_source) // self.batch_rows
            if step < steps:
                seen.append(step)
            epoch += 1

    @staticmethod
    def _slot(turn: int, quota: int, slots_of_source: np.ndarray) -> int:
        return turn // quota * BLOCK + int(slots_of_source[turn % quota])

    def epochs(self, steps: int) -> list[float]:
        """How often each source is read through in `steps` steps, on average."""
        slots = steps * self.batch_rows
        return [float(slots * quota / BLOCK / count) for quota, count in zip(self.quotas, self.rows, strict=True)]


def capped_shares(
    shares: Sequence[float], rows: Sequence[int], slots: int, max_epochs: float | None
) -> tuple[float, ...] | None:
    """Shares under which no source is read more than `max_epochs` times in `slots` slots; what a capped
    source gives up goes to the others in proportion. A capped share is whole slots of a block, rounded down, unless all
    sources are capped. None when all sources together are too small.
    """
    total = float(sum(shares))
    wanted = [share / total for share in shares]
    if max_epochs is None:
        return tuple(wanted)
    limits = [max_epochs * count / slots for count in rows]
    if max_epochs * sum(rows) < slots:
        return None
    capped: set[int] = set()
    while True:
        rest = 1.0 - sum(limits[i] for i in capped)
        free = sum(wanted[i] for i in range(len(wanted)) if i not in capped)
        given = [limits[i] if i in capped else wanted[i] / free * rest for i in range(len(wanted))]
        over = {i for i in range(len(given)) if i not in capped and given[i] > limits[i]}
        if not over or capped | over == set(range(len(given))):
            return tuple(given)
        for i in over:
            limits[i] = int(limits[i] * BLOCK) / BLOCK
        capped |= over
