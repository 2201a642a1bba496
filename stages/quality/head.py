"""A linear head on vectors: learn a judge's marks from embeddings, then mark every document.

Ridge regression (Hoerl and Kennard 1970) in closed form: sums of products over the documents, in fp64 and in the order
of the shards, then one solve. FineWeb-Edu (Penedo et al. 2024) trains such a head on a frozen encoder.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.bounds import Amount, ShareBelowOne
from pipeline.contract import ONE, Columns, Context, Node, Result, RowFunction, RowNode, TaskPhase, one
from pipeline.errors import DataError
from stages.chance import draws, share_limit
from stages.documents import HELD_OUT, ID, columns_of
from stages.generate.vectors import check_vectors, save
from stages.number_columns import check_numbers, numbers_of
from stages.wants import TrainedHead

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainHead(Node):
    """A linear head from the vectors in `by` to the numbers in `label`. Writes `train/all.npy`, float64 [width + 1]
    (the last one is the constant), and its card `train/all.json`.

    by          the column of vectors, as `embed` adds it
    label       the column of numbers to learn, such as the marks of `judge`
    docs        documents with both columns; rows marked `held_out`, or without a vector or a label, are not used
    penalty     of the squared weights, per document
    test_share  share that is not trained on and gives the error and the correlation

    Errors: `DataError` with fewer than 20 documents to train on.
    """

    docs: Node | tuple[Node, ...]
    label: str
    by: str = "vector"
    penalty: Amount = 1e-3
    test_share: ShareBelowOne = 0.1
    seed: int = 0

    version = 2
    gives = "head"

    def check(self) -> None:
        have = columns_of(self.docs)
        check_vectors("train_head", have, by=self.by)
        check_numbers("train_head", have, label=self.label)

    def phases(self):
        return (TaskPhase(name="train", keys=one, run=self._train),)

    def figures(self, ctx: Context):
        facts, counts = ctx.result("train", ONE[0]).facts, ctx.result("train", ONE[0]).counts
        yield {
            "kind": "table",
            "title": f"Head on {self.by} for {self.label}",
            "note": "Correlation and root of the mean squared error on documents that it was not trained on.",
            "highlight": 3,
            "columns": ["vectors", "trained on", "tested on", "correlation", "error"],
            "rows": [[self.by, counts["trained"], counts["tested"], *(
                None if facts[name] is None else round(facts[name], 4) for name in ("correlation", "error")
            )]],
        }  # fmt: skip

    def _train(self, ctx: Context, key: str) -> Result:
        import numpy as np

        products, targets, trained = np.zeros((0, 0)), np.zeros(0), 0
        tests: list[tuple[np.ndarray, np.ndarray]] = []
        limit, marked = share_limit(self.test_share), ctx.has_column(HELD_OUT)
        for _, table in ctx.rows([ID, self.by, self.label, *([HELD_OUT] if marked else [])]):
            vectors, values, names = self._usable(table)
            tested = draws(names, self.seed, "train_head") < limit
            tests.append((vectors[tested], values[tested]))
            vectors, values = vectors[~tested], values[~tested]
            if not products.size:
                products, targets = np.zeros((vectors.shape[1],) * 2), np.zeros(vectors.shape[1])
            products += vectors.T @ vectors
            targets += vectors.T @ values
            trained += len(values)
        if trained < 20:
            raise DataError(f"train_head.{self.label}", f"{trained} documents to train on", "20 or more")
        penalties = np.full(len(targets), self.penalty * trained)
        penalties[-1] = 1e-9  # the constant is free; a little keeps the matrix regular
        weights = np.linalg.solve(products + np.diag(penalties), targets)
        found = np.concatenate([vectors @ weights for vectors, _ in tests])
        wanted = np.concatenate([values for _, values in tests])
        spread = len(wanted) > 1 and wanted.std() > 0 and found.std() > 0
        facts = {
            "correlation": float(np.corrcoef(found, wanted)[0, 1]) if spread else None,
            "error": float(np.sqrt(((found - wanted) ** 2).mean())) if len(wanted) else None,
        }
        counts = {"trained": trained, "tested": len(wanted)}
        with ctx.create(".npy") as path:
            save(path, weights)
        with ctx.create(".json") as path:
            path.write_text(json.dumps({"by": self.by, "label": self.label, "counts": counts, **facts}, indent=1))
        return Result(counts=counts, facts=facts)

    def _usable(self, table: pa.Table) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """(vectors with a constant 1 at the end, labels, ids) of the rows that have both, float64."""
        import pyarrow.compute as pc

        good = pc.and_(pc.is_valid(table[self.by]), pc.is_valid(table[self.label]))
        if HELD_OUT in table.column_names:
            good = pc.and_(good, pc.invert(table[HELD_OUT]))
        table = table.filter(good)
        marks = numbers_of(table, self.label, "train_head.label")
        return with_constant(table, self.by, "train_head.by"), marks, table[ID].to_pylist()


@dataclass(frozen=True, kw_only=True, eq=False)
class Head(RowNode):
    """Add the mark that a linear head gives to a document's vector: float32, null without a vector.

    model  a `train_head` node
    as_    (`as` in a recipe) the name of the column
    """

    docs: Node
    model: TrainedHead
    as_: str = "quality"

    version = 2

    @property
    def needs(self):  # type: ignore[override]
        return (ID, self.model.by if isinstance(self.model, TrainHead) else "vector")

    def adds(self):
        return {self.as_: "float32"}

    def open(self, ctx: Context) -> RowFunction:
        import numpy as np

        weights = np.load(ctx.path("train", ONE[0], ".npy", of="model"))

        def rows(table: pa.Table) -> Columns:
            import pyarrow as pa

            column = self.needs[1]
            # row by row: the last bits of a product of matrices hang on how many rows it has
            marks = (with_constant(table, column, "head") * weights).sum(1).astype(np.float32)
            return Columns(added={self.as_: pa.array(marks, mask=table[column].is_null().to_numpy())})

        return rows


def with_constant(table: pa.Table, column: str, place: str) -> np.ndarray:
    """float64 `[rows, width + 1]`: the vectors, and a 1 behind each."""
    import numpy as np

    vectors = numbers_of(table, column, place).astype(np.float64)
    return np.concatenate([vectors, np.ones((len(vectors), 1))], axis=1)
