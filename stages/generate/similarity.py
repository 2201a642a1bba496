"""Whether the cosine of two vectors rises with how alike people, or a label, call two texts."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipeline.contract import ONE, Context, Law, Node, Result, TaskPhase, one
from pipeline.errors import DataError
from stages.documents import ID, columns_of
from stages.generate.vectors import check_vectors, cosines
from stages.number_columns import check_numbers, numbers_of


@dataclass(frozen=True, kw_only=True, eq=False)
class Similarity(Node):
    """Spearman's correlation of a column of numbers with the cosine of two columns of vectors.

    docs   rows of two texts, with a vector of each
    left   the column of the vector of the first text
    right  that of the second one
    gold   the column of how alike they are; a null is no answer, and counted apart

    Law: documents = measured + null. Errors: `DataError` where one side does not vary.
    """

    docs: Node
    left: str
    right: str
    gold: str

    gives = "correlation"

    def check(self) -> None:
        have = columns_of(self.docs)
        check_vectors("similarity", have, left=self.left, right=self.right)
        check_numbers("similarity", have, gold=self.gold)

    def phases(self):
        law = Law("documents", "documents", ("measured", "null"))
        return (TaskPhase(name="score", keys=one, run=self._score, law=law),)

    def _score(self, ctx: Context, key: str) -> Result:
        import numpy as np

        from stages.generate.ranking import spearman

        found, gold, nulls = [np.zeros(0)], [np.zeros(0)], 0
        for _, table in ctx.rows(list(dict.fromkeys([ID, self.left, self.right, self.gold]))):
            kept = table.filter(table[self.gold].is_valid())
            nulls += table.num_rows - kept.num_rows
            if not kept.num_rows:
                continue
            found.append(cosines(kept, self.left, self.right, "similarity"))
            gold.append(numbers_of(kept, self.gold, "similarity.gold"))
        cosine, wanted = np.concatenate(found), np.concatenate(gold)
        correlation = spearman(cosine, wanted) if len(cosine) > 1 else math.nan
        if math.isnan(correlation):
            raise DataError("similarity.gold", f"{len(cosine)} pairs, of which one side does not vary", "two orders")
        return Result(
            counts={"documents": len(cosine) + nulls, "measured": len(cosine), "null": nulls},
            facts={"spearman": correlation},
        )

    def figures(self, ctx: Context):
        found = ctx.result("score", ONE[0])
        rows = [[found.counts["measured"], round(found.facts["spearman"], 4)]]
        yield {"kind": "table", "title": f"Cosine against {self.gold}", "columns": ["pairs", "Spearman"], "rows": rows}
