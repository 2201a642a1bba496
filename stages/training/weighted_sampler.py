"""The sampler behind `by_prior`: each epoch holds a row as often as its weight says."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from models.objectives.masking import uniforms
from stages.permutation import Permutation
from stages.training.sampler import Sampler

KEPT = 3  # epochs of a source whose rows are in memory


@dataclass(frozen=True)
class Weighted(Sampler):
    """A sampler whose epochs hold each row as often as its weight says.

    weights  float64 [rows] of each source, of mean 1
    """

    weights: tuple[np.ndarray, ...] = field(default=(), repr=False)

    def rows_at(self, source: int, turns: np.ndarray) -> np.ndarray:
        rows, left = np.empty_like(turns), np.arange(len(turns))
        while len(left):
            epoch = self._epoch(source, int(turns[left[0]]))
            begin, end = self._begin(source, epoch), self._begin(source, epoch + 1)
            here = left[(turns[left] >= begin) & (turns[left] < end)]
            permuted = Permutation(end - begin, f"{self.seed}/{self.names[source]}/{epoch}").forward(
                turns[here] - begin
            )
            rows[here] = self._copies(source, epoch)[permuted]
            left = left[(turns[left] < begin) | (turns[left] >= end)]
        return rows

    @cached_property
    def _offsets(self) -> list[np.ndarray]:
        """u of every row."""
        return [uniforms(f"{self.seed}/{name}/prior", n) for name, n in zip(self.names, self.rows, strict=True)]

    @cached_property
    def _begins(self) -> dict[tuple[int, int], int]:
        return {}

    @cached_property
    def _kept(self) -> dict[tuple[int, int], np.ndarray]:
        return {}

    def _drawn(self, source: int, epochs: int) -> np.ndarray:
        """How often each row was drawn before an epoch."""
        return np.floor(epochs * self.weights[source] + self._offsets[source]).astype(np.int64)

    def _begin(self, source: int, epoch: int) -> int:
        """The first turn of an epoch."""
        if (source, epoch) not in self._begins:
            self._begins[source, epoch] = int(self._drawn(source, epoch).sum())
        return self._begins[source, epoch]

    def _epoch(self, source: int, turn: int) -> int:
        epoch = turn // self.rows[source]
        while self._begin(source, epoch) > turn:
            epoch -= 1
        while self._begin(source, epoch + 1) <= turn:
            epoch += 1
        return epoch

    def _copies(self, source: int, epoch: int) -> np.ndarray:
        """The rows of an epoch, each as often as it stands in it."""
        if (source, epoch) not in self._kept:
            counts = self._drawn(source, epoch + 1) - self._drawn(source, epoch)
            self._kept[source, epoch] = np.repeat(np.arange(self.rows[source]), counts)
            if len(self._kept) > KEPT * len(self.rows):
                self._kept.pop(next(iter(self._kept)))
        return self._kept[source, epoch]
