"""Which rows a step sees: the slot, and the exact mixture, its default.

An order is a frozen value with one method. A new one is a file with a class of this base and a line in
`stages.catalog.ORDERS`. What it opens is a pure function of the step: the whole data state of a checkpoint is the step,
processes and micro-batches only slice a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from models.fields import Typed

if TYPE_CHECKING:
    import numpy as np

    from stages.training.row_source import RowSource
    from stages.training.sampler import Sampler


class OpenOrder(Protocol):
    """The order of one run."""

    def batch(self, step: int, steps: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Places of sources in the mixture, and rows of each source, of the batches from `step` on: two int64 arrays
        [steps, batch_rows].
        """
        ...

    def epochs(self, steps: int) -> list[float]:
        """How often each source is read through in `steps` steps, on average."""
        ...


@dataclass(frozen=True, kw_only=True)
class RowOrder(metaclass=Typed):
    """Base of all orders. `reads` names carried columns that every source must have. `weighs`: rows are drawn by a
    prior, so that the loss must not count one too.
    """

    reads: ClassVar[tuple[str, ...]] = ()
    weighs: ClassVar[bool] = False

    def open(self, sources: Sequence[RowSource], *, batch_rows: int, steps: int, seed: int) -> OpenOrder:
        """The order over these sources; columns of theirs are `source.rows.means(name, rows)`."""
        raise NotImplementedError(f"{type(self).__name__}.open")


@dataclass(frozen=True, kw_only=True)
class Mixture(RowOrder):
    """Every source in its share, exact in every block, in a keyed permutation of each epoch."""

    def open(self, sources: Sequence[RowSource], *, batch_rows: int, steps: int, seed: int) -> Sampler:
        from stages.training.sampler import Sampler

        return Sampler(
            names=tuple(source.name for source in sources),
            rows=tuple(source.rows.rows for source in sources),
            shares=tuple(source.share for source in sources),
            batch_rows=batch_rows,
            seed=seed,
        )


MIXTURE = Mixture()
