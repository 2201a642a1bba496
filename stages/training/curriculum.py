"""From the easy rows to all rows: CLIMB's data curriculum as an order (Diehl Martinez et al. 2023, arXiv 2311.08886).

The rows of each source are put in order of a carried column once, equal values in a keyed order of their own. A step
draws from the first part of that order, as much of it as the pace admits, each admitted row alike, none twice in a
batch as long as there are enough. So early steps read the easiest rows many times, and there are no epochs.

Which rows a step draws is a function of (seed, step): a keyed permutation of the admitted part. Sources keep their
exact shares; each has its own order, so shares do not change with the pace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from models.objectives.pacing import Pacing, prefix
from pipeline.errors import DataError
from stages.training.order import MIXTURE, RowOrder

if TYPE_CHECKING:
    import numpy as np

    from stages.training.row_source import RowSource
    from stages.training.sampler import Sampler


@dataclass(frozen=True, kw_only=True)
class Curriculum(RowOrder, Pacing):
    """Rows of low values first, more of them as the run goes on.

    by     carried column, low = easy; a row is as hard as the mean over its tokens. Rows without a value are hardest;
           where no row of a source has one, `DataError`
    begin  share of the rows that the first steps draw from
    shape  of the climb from there to all rows (`models.objectives.pacing`)
    start  share of the run's steps at which the climb starts
    end    share of the run's steps at which it ends
    """

    by: str

    @property
    def reads(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return (self.by,)

    def open(self, sources: Sequence[RowSource], *, batch_rows: int, steps: int, seed: int) -> Paced:
        mixture = MIXTURE.open(sources, batch_rows=batch_rows, steps=steps, seed=seed)
        return Paced(tuple(sources), mixture, self, steps)


@dataclass(frozen=True)
class Paced:
    """The order of one run of `steps`; `mixture` says which source has which place of a batch."""

    sources: tuple[RowSource, ...]
    mixture: Sampler
    config: Curriculum
    steps: int

    @cached_property
    def _easiest(self) -> list[np.ndarray]:
        """Rows of each source, int64 [rows], easiest first."""
        import numpy as np

        from stages.permutation import Permutation

        found = []
        for source in self.sources:
            rows = np.arange(source.rows.rows)
            values = source.rows.means(self.config.by, rows)
            if np.isnan(values).all():
                raise DataError(
                    f"curriculum.by: {self.config.by}", f"no row of {source.name} with a value", "a column with values",
                    "look at the node that adds the column: siftloom status, then siftloom report",
                )  # fmt: skip
            ties = Permutation(len(rows), f"{self.mixture.seed}/{source.name}/curriculum").forward(rows)
            found.append(np.lexsort((ties, values)))
        return found

    def batch(self, step: int, steps: int = 1) -> tuple[np.ndarray, np.ndarray]:
        import numpy as np

        from stages.permutation import Permutation

        sources, _ = self.mixture.batch(step, steps)
        rows = np.empty_like(sources)
        for i in range(steps):
            share = self.config.at(step + i, self.steps)
            for source in np.unique(sources[i]):
                easiest, at = self._easiest[source], np.flatnonzero(sources[i] == source)
                admitted = prefix(share, len(easiest))
                drawn = Permutation(admitted, f"{self.mixture.seed}/{self.sources[source].name}/paced/{step + i}")
                rows[i, at] = easiest[drawn.forward(np.arange(len(at)) % admitted)]
        return sources, rows

    def epochs(self, steps: int) -> list[float]:
        return self.mixture.epochs(steps)
