"""How well vectors find what belongs to a query among all documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.bounds import Positive
from pipeline.contract import Context, Law, Node, Result, TaskPhase, one
from pipeline.errors import DataError, RecipeError
from stages.documents import ID, columns_of
from stages.generate.vectors import check_vectors
from stages.intervals import rounded
from stages.measure import MeasureNode
from stages.number_columns import numbers_of

if TYPE_CHECKING:
    import numpy as np

AT_ONCE = 256  # queries whose scores are held at once
NAMES = ("ndcg", "mrr", "recall_1", "recall")


@dataclass(frozen=True, kw_only=True, eq=False)
class Retrieval(MeasureNode):
    """nDCG, mean reciprocal rank and recall of the first `depth` documents by the cosine of vectors, by exact search.

    queries    documents that are searched for, with a vector
    docs       documents that are searched among, with a vector
    by         the column of the vectors, in both
    match      the column that says what belongs together: a document is relevant to a query when both have one value
               of it. `id`: two texts of one row
    centre     whether the mean vector of the documents is taken from all: vectors that share a direction are all alike
    depth      documents that are looked at
    resamples  draws of queries with replacement, for the intervals
    level      of the intervals

    Writes `score/all.json` and `score/all.parquet` (`id`, `group` and `value`, the nDCG, of every query). Law: queries
    = measured + without (no vector, or no document that belongs to them).
    """

    queries: Node
    docs: Node
    by: str = "vector"
    match: str = "id"
    centre: bool = False
    depth: Positive = 10

    @property
    def measured(self) -> str:
        return f"nDCG@{self.depth}"

    def check(self) -> None:
        for field, node in (("queries", self.queries), ("docs", self.docs)):
            have = columns_of(node)
            check_vectors("retrieval", have, **{field: self.by})
            if self.match not in (ID, *have):
                raise RecipeError("retrieval.match", f"no column {self.match!r} in {field}", "a column of both")

    def phases(self):
        law = Law("queries", "queries", ("measured", "without"))
        return (TaskPhase(name="score", keys=one, run=self._score, law=law),)

    def _score(self, ctx: Context, key: str) -> Result:
        import numpy as np

        from stages.generate.ranking import ranks

        names, wanted_q, query_qd, queries = self._vectors(ctx, "queries")
        _, belongs_n, doc_nd, _ = self._vectors(ctx, "docs")
        if not len(doc_nd) or not len(query_qd):
            raise DataError("retrieval.docs, queries", "no vectors on one side", "documents on both", "siftloom status")
        if query_qd.shape[1] != doc_nd.shape[1]:
            raise DataError(
                "retrieval.by", f"vectors of {query_qd.shape[1]} and {doc_nd.shape[1]} numbers", "one model's vectors"
            )
        if self.centre:
            middle_d = doc_nd.mean(0)
            query_qd, doc_nd = query_qd - middle_d, doc_nd - middle_d
        query_qd, doc_nd = (x / np.linalg.norm(x, axis=1, keepdims=True).clip(1e-12) for x in (query_qd, doc_nd))
        kept, found = [], []
        for start in range(0, len(query_qd), AT_ONCE):
            scores_qn = query_qd[start : start + AT_ONCE] @ doc_nd.T
            for at, scores_n in enumerate(scores_qn, start):
                if (relevant_n := belongs_n == wanted_q[at]).any():
                    kept.append(names[at])
                    found.append(ranks(scores_n, relevant_n, self.depth))
        if not kept:
            raise DataError(
                "retrieval.match", f"no query whose {self.match} a document has", "one column that both sides share"
            )
        values = np.array(found)
        score = {name: self.mean_of(values[:, place]) for place, name in enumerate(NAMES)}
        described = {"depth": self.depth, "level": self.level, "documents": len(doc_nd), **score}
        self.write_score(ctx, {"id": kept, "value": values[:, 0]}, described)
        counts = {"queries": queries, "measured": len(kept), "without": queries - len(kept)}
        return Result(counts=counts, facts={name: score[name]["mean"] for name in NAMES})

    def _vectors(self, ctx: Context, side: str) -> tuple[list[str], np.ndarray, np.ndarray, int]:
        """Ids, what belongs together, and vectors in fp64 of the rows that have one; and how many rows there are."""
        import numpy as np

        names: list[str] = []
        belongs: list[str] = []
        parts: list[np.ndarray] = []
        rows = 0
        for _, table in ctx.rows(list(dict.fromkeys([ID, self.by, self.match])), of=side):
            rows += table.num_rows
            table = table.filter(table[self.by].is_valid())
            if not table.num_rows:  # a shard of which nothing is left, or nothing has a vector
                continue
            names += table[ID].to_pylist()
            belongs += table[self.match].cast("string").to_pylist()
            parts.append(numbers_of(table, self.by, f"retrieval.{side}").astype(np.float64))
        return names, np.array(belongs, dtype=object), np.concatenate(parts) if parts else np.zeros((0, 0)), rows

    def figures(self, ctx: Context):
        found = ctx.read_json("score")
        shown = (f"nDCG@{self.depth}", f"MRR@{self.depth}", "recall@1", f"recall@{self.depth}")
        rows = [[title, *rounded(found[name])] for name, title in zip(NAMES, shown, strict=True)]
        title = f"Retrieval among {found['documents']:,} documents"
        columns = ["", *self.mean_columns()]
        yield {"kind": "table", "title": title, "columns": columns, "rows": rows}
