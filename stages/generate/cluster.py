"""The semantic cluster of every document, its removal and its weight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.bounds import Amount, Count
from pipeline.contract import ONE, Columns, Context, Node, Removed, RowFunction, RowNode, threshold
from pipeline.errors import RecipeError
from stages.documents import ID
from stages.generate.train_clusters import TrainClusters
from stages.generate.vectors import assign
from stages.number_columns import numbers_of
from stages.wants import Clusters

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True, eq=False)
class Cluster(RowNode):
    """Add the nearest cluster, int32 `<as>`, and the distance to its centre, float32 `<as>_distance`; null for a
    document without a vector. Removes with the reason `cluster.dropped` (value: the cluster).

    model    a `train_clusters` node; its clusters are numbered from the largest one, 0
    drop     clusters that go
    weights  cluster -> weight of its documents, 1 for the others: added as float32 `<as>_weight` when there are some
    as_      (`as` in a recipe) the name of the column

    Change `drop` after a look at the report: no distance is computed again.
    """

    docs: Node
    model: Clusters
    drop: tuple[Count, ...] = threshold(())
    weights: Mapping[int, Amount] = field(default_factory=dict)
    as_: str = "cluster"

    version = 2
    reasons = ("cluster.dropped",)

    def check(self) -> None:
        k = getattr(self.model, "k", 2**31)  # a node of one's own that gives clusters may not say how many
        for name in ("drop", "weights"):
            if odd := [n for n in getattr(self, name) if not 0 <= n < k]:
                raise RecipeError(f"cluster.{name}", f"cluster {odd[0]!r}", f"a whole number from 0 to {k - 1}")

    @property
    def needs(self):  # type: ignore[override]
        return (ID, self._by())

    def _by(self) -> str:
        return self.model.by if isinstance(self.model, TrainClusters) else "vector"

    def adds(self):
        more = {self.as_ + "_weight": "float32"} if self.weights else {}
        return {self.as_: "int32", self.as_ + "_distance": "float32", **more}

    def open(self, ctx: Context) -> RowFunction:
        import numpy as np
        import pyarrow as pa

        centres = np.load(ctx.path("centres", ONE[0], ".npy", of="model"))
        factor = np.ones(len(centres), np.float32)
        for number, weight in self.weights.items():
            factor[number] = weight

        def rows(table: pa.Table) -> Columns:
            missing = table[self._by()].is_null().to_numpy()
            nearest, distance = assign(numbers_of(table, self._by(), "cluster"), centres)
            added = {self.as_: nearest.astype(np.int32), self.as_ + "_distance": distance}
            if self.weights:
                added[self.as_ + "_weight"] = factor[nearest]
            return Columns(added={name: pa.array(values, mask=missing) for name, values in added.items()})

        return rows

    def decide(self, scores: pa.Table) -> Removed | None:
        import pyarrow as pa
        import pyarrow.compute as pc

        found = scores[self.as_]
        return Removed.where(pc.is_in(found, pa.array(self.drop, pa.int32())), "cluster.dropped", value=found)
