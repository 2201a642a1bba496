"""An order from outside: the rows of one source from the easy to the hard, by a carried column."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from stages.training.order import RowOrder


class Sorted:
    def __init__(self, rows, batch_rows):
        self.rows, self.batch_rows = rows, batch_rows

    def batch(self, step, steps=1):
        slots = np.arange(step * self.batch_rows, (step + steps) * self.batch_rows) % len(self.rows)
        return np.zeros((steps, self.batch_rows), np.int64), self.rows[slots].reshape(steps, -1)

    def epochs(self, steps):
        return [steps * self.batch_rows / len(self.rows)]


@dataclass(frozen=True, kw_only=True)
class EasyFirst(RowOrder):
    by: str = "difficulty"

    reads: ClassVar[tuple[str, ...]] = ("difficulty",)

    def open(self, sources, *, batch_rows, steps, seed):
        packed = sources[0].rows
        values = packed.means(self.by, np.arange(packed.rows))
        return Sorted(np.argsort(values, kind="stable"), batch_rows)
