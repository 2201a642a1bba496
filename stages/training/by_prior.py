"""Draw rows by their weight: a prior in the sampler, where it costs no step on rows that hardly count.

A row of weight w is drawn w times an epoch on average, and after e epochs w e times to within one: the epoch e holds
floor((e + 1) w + u) - floor(e w + u) copies of it, u a keyed number of the row in [0, 1). So no chance is left but the
rounding, and rows of equal weights are the plain mixture to the bit (`weighted_sampler.py`). The loss does not count
the prior again: the sum over w f(h) that weights maximise takes a prior once, as frequency or as factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stages.documents import LOG_PRIOR
from stages.training.order import MIXTURE, RowOrder

if TYPE_CHECKING:
    from stages.training.row_source import RowSource
    from stages.training.weighted_sampler import Weighted


@dataclass(frozen=True, kw_only=True)
class ByPrior(RowOrder):
    """Every source in its share; inside a source rows by their weight.

    by  carried column: the logarithm of a row's weight. Rows without a value have weight 1, those of -inf are not drawn
    """

    by: str = LOG_PRIOR

    weighs = True

    @property
    def reads(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return (self.by,)

    def open(self, sources: Sequence[RowSource], *, batch_rows: int, steps: int, seed: int) -> Weighted:
        import numpy as np

        from stages.training.weighted_sampler import Weighted

        plain = MIXTURE.open(sources, batch_rows=batch_rows, steps=steps, seed=seed)
        weights = []
        for source in sources:
            logs = source.rows.means(self.by, np.arange(source.rows.rows))
            logs = np.where(np.isnan(logs), 0.0, logs)
            found = np.exp(logs - logs.max())  # their scale is lost in the mean, and would overflow before
            weights.append(found / found.mean())
        return Weighted(plain.names, plain.rows, plain.shares, batch_rows, seed, tuple(weights))
