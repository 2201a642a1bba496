"""Keep the best documents by a score: an exact share of them, or those above a value.

The cut is computed from all scores, not estimated, and rows that tie at the cut are told apart by a draw from
their id; so exactly the asked share stays, for any order of the shards. Held-out rows have no say in where
the cut lies, but it is held against them too: an evaluation on documents of the selected kind.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.bounds import ShareAboveZero
from pipeline.contract import (
    ONE,
    Columns,
    Context,
    Node,
    Removed,
    Result,
    RowFunction,
    RowPhase,
    TaskPhase,
    one,
    threshold,
)
from pipeline.errors import DataError, RecipeError
from stages.chance import WHOLE, draws
from stages.documents import HELD_OUT, ID

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

BINS = 60
LOW, NO_SCORE = "select.low", "select.no_score"


@dataclass(frozen=True, kw_only=True, eq=False)
class Select(Node):
    """Keep rows whose `by` column is high. Removes with `select.low` (value, cut) and `select.no_score`
    (null, NaN, infinite).

    by             a number column
    keep_fraction  share of the scored rows that are not held out, rounded to whole rows
    min            or: the lowest value that stays

    Exactly one of `keep_fraction` and `min` is given. Errors: `DataError` when no row has a score.
    """

    docs: Node
    by: str
    keep_fraction: ShareAboveZero | None = threshold(None)
    min: float | None = threshold(None)

    version = 1
    reasons = (LOW, NO_SCORE)

    def check(self) -> None:
        if (self.keep_fraction is None) == (self.min is None):
            raise RecipeError(
                "select", "keep_fraction and min " + ("neither" if self.min is None else "both"), "one of them"
            )

    def phases(self):
        return (
            TaskPhase(name="cut", keys=one, run=self._cut),
            RowPhase(open=self._open, needs=(ID, self.by)),
        )

    def figures(self, ctx: Context):
        facts = ctx.result("cut", ONE[0]).facts
        mark = {"x": facts["cut"], "label": "cut", "removed": "below"}
        return [
            {
                "kind": "histogram",
                "section": "scores",
                "title": f"{self.by} of the documents that are not held out",
                "x": self.by,
                "edges": facts["edges"],
                "counts": facts["counts"],
                "marks": [mark],
            }
        ]

    def _cut(self, ctx: Context, key: str) -> Result:
        import numpy as np

        parts = [scores for scores, _ in self._scores(ctx)]
        scores = np.concatenate(parts) if parts else np.empty(0)
        if not len(scores):
            raise DataError(f"select.{self.by}", "no row has a score", "a score for some rows that are not held out")
        low, high = float(scores.min()), float(scores.max())
        counts, edges = np.histogram(scores, BINS, (low, high if high > low else low + 1))
        facts = {"edges": edges.tolist(), "counts": counts.tolist(), **self._bounds(ctx, scores)}
        kept = int((scores > facts["cut"]).sum() + facts["ties"])
        return Result(counts={"scored": len(scores), "kept": kept}, facts=facts)

    def _bounds(self, ctx: Context, scores: np.ndarray) -> dict[str, Any]:
        """`cut`: scores above it stay; scores equal to it stay, `ties` of them, whose draw is at most
        `last`."""
        import numpy as np

        if self.min is not None:
            return {"cut": float(self.min), "last": WHOLE - 1, "ties": int((scores == self.min).sum())}
        assert self.keep_fraction is not None
        kept = math.floor(self.keep_fraction * len(scores) + 0.5)
        if kept == 0:
            raise DataError("select.keep_fraction", f"{self.keep_fraction} of {len(scores)} rows", "one row or more")
        cut = np.partition(scores, len(scores) - kept)[len(scores) - kept]
        ties = kept - int((scores > cut).sum())
        tied = np.concatenate([draws(ids(values == cut), 0, "select") for values, ids in self._scores(ctx)])
        return {"cut": float(cut), "last": int(np.partition(tied, ties - 1)[ties - 1]), "ties": ties}

    def _scores(self, ctx: Context) -> Iterator[tuple[np.ndarray, Any]]:
        """Scores (float64) of the rows that count, and a function from a mask over them to their ids."""
        import pyarrow.compute as pc

        marked = ctx.has_column(HELD_OUT)
        for _, table in ctx.rows([ID, self.by, *([HELD_OUT] if marked else [])]):
            table = table.filter(_scored(table[self.by]))
            if marked:
                table = table.filter(pc.invert(table[HELD_OUT]))
            names = table[ID]
            yield table[self.by].to_numpy().astype("float64"), lambda mask, names=names: names.filter(mask).to_pylist()

    def _open(self, ctx: Context) -> RowFunction:
        facts = ctx.result("cut", ONE[0]).facts
        cut, last = facts["cut"], facts["last"]

        def rows(table: pa.Table) -> Columns:
            import pyarrow as pa
            import pyarrow.compute as pc

            score = table[self.by].cast(pa.float64())
            low = pc.fill_null(pc.less(score, cut), False).to_numpy(zero_copy_only=False).copy()
            tied = pc.fill_null(pc.equal(score, cut), False).to_numpy(zero_copy_only=False)
            low[tied] = draws(table[ID].filter(pa.array(tied)).to_pylist(), 0, "select") > last
            none = Removed.where(pc.invert(_scored(score)), NO_SCORE)
            return Columns(removed=Removed.first([none, Removed.where(low, LOW, score, cut)]))

        return rows


def _scored(score: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.fill_null(pc.is_finite(score.cast(pa.float64())), False)
