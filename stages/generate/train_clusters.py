"""Semantic clusters: k-means over a column of vectors (Lloyd 1982).

The centres start from the vectors of k documents, a keyed draw of their ids. A round assigns the documents of every
shard to the nearest centre and adds their vectors up in fp64; the sums of the shards are then added in the order of the
shards, so the bytes of the centres hang on no worker. A round that is finished is not done again. A centre without
documents stays where it is.

Yi's data pipeline (arXiv 2403.04652, section 2.1) labels such clusters by their quality and drops or re-weights them:
the report shows every cluster's size, the middle of each score column and examples, and `cluster` drops or weighs them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Interval

from pipeline.bounds import Amount
from pipeline.contract import (
    ONE,
    Context,
    Node,
    Result,
    Rounds,
    Shard,
    TaskPhase,
    one,
)
from pipeline.errors import DataError, RecipeError
from stages.chance import draws
from stages.documents import ID, TEXT, columns_of
from stages.generate.vectors import add_up, assign, check_vectors, move, save
from stages.number_columns import check_numbers, numbers_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

EXAMPLES = 3  # of a cluster, in the report
SHOWN = 100  # clusters in the report
EXCERPT = 80  # characters of an example


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainClusters(Node):
    """Find `k` clusters of the vectors in a column. Writes `centres/all.npy`, float32 [k, width].

    docs        documents with a column of vectors, as `embed` adds it; those without a vector have no say
    k           the number of clusters
    by          the column of vectors
    rounds      of k-means, at most; each is a phase of its own
    tolerance   stop when the centres move by less, as the root mean square over all centres
    scores      number columns whose middles the report shows for each cluster

    Errors: `DataError` with fewer documents than clusters.
    """

    docs: Node | tuple[Node, ...]
    k: int
    by: str = "vector"
    rounds: Annotated[int, Interval(ge=1, le=1000)] = 25
    tolerance: Amount = 1e-4
    scores: tuple[str, ...] = ()
    seed: int = 0

    version = 3
    gives = "clusters"
    made = ("documents",)

    def check(self) -> None:
        have = columns_of(self.docs)
        check_vectors("train_clusters", have, by=self.by)
        for name in self.scores:
            check_numbers("train_clusters", have, scores=name)
        if self.k < 2:
            raise RecipeError("train_clusters.k", f"{self.k}", "at least 2 clusters")

    def phases(self):
        first = TaskPhase(name="start", keys=one, run=self._start)
        last = TaskPhase(name="centres", keys=one, run=self._finish)
        return (first, *self._rounds().unrolled(), last)

    def predict_memory(self, rows: int, text_bytes: int) -> int:
        return 500 * 1024**2 + 8 * rows

    def figures(self, ctx: Context):
        facts = ctx.read_json("centres")
        columns = ["cluster", "documents", *self.scores, "examples"]
        rows = [
            [entry["cluster"], entry["documents"], *entry["middles"], " | ".join(entry["examples"])]
            for entry in facts["clusters"][:SHOWN]
        ]
        yield {"kind": "table", "title": f"Clusters of {self.by}", "columns": columns, "rows": rows}
        points = [[number, moved] for number, moved in enumerate(facts["moved"])]
        series = [{"name": "centres", "points": points}]
        yield {"kind": "lines", "title": "How far the centres moved", "x": "round", "y": "distance", "series": series}

    def _rounds(self) -> Rounds:
        def phases(number: int) -> tuple[TaskPhase, TaskPhase]:
            name = f"{number:03d}"
            assign = TaskPhase(name=f"assign-{name}", keys=_shards, run=lambda ctx, key: self._assign(ctx, key, number))
            move = TaskPhase(name=f"move-{name}", keys=one, run=lambda ctx, key: self._move(ctx, number))
            return assign, move

        def until(ctx: Context, number: int) -> bool:
            return ctx.result(f"move-{number:03d}", ONE[0]).facts["moved"] <= self.tolerance

        return Rounds(phases=phases, until=until, most=self.rounds)

    def _rows(self, ctx: Context, *columns: str, shards: Sequence[Shard] | None = None) -> Iterator[pa.Table]:
        """The documents that have a vector."""
        import pyarrow.compute as pc

        for _, table in ctx.rows([*columns, self.by], shards=shards):
            yield table.filter(pc.is_valid(table[self.by]))

    def _start(self, ctx: Context, key: str) -> Result:
        """The vectors of the k documents with the smallest draws."""
        import numpy as np

        numbers, vectors, documents = np.empty(0, np.uint64), None, 0
        for table in self._rows(ctx, ID):
            drawn = draws(table[ID].to_pylist(), self.seed, "train_clusters")
            found = numbers_of(table, self.by, "train_clusters.by")
            numbers, documents = np.concatenate([numbers, drawn]), documents + len(drawn)
            vectors = found if vectors is None else np.concatenate([vectors, found])
            smallest = np.argsort(numbers, kind="stable")[: self.k]
            numbers, vectors = numbers[smallest], vectors[smallest]
        if vectors is None or len(vectors) < self.k:
            raise DataError("train_clusters.k", f"{documents} documents", f"at least as many as clusters ({self.k})")
        with ctx.create(".npy") as path:
            save(path, vectors.astype(np.float32))
        return Result(counts={"documents": documents})

    def _centres(self, ctx: Context, number: int) -> np.ndarray:
        """The centres that a round starts from."""
        import numpy as np

        phase = "start" if number == 0 else f"move-{number - 1:03d}"
        return np.load(ctx.path(phase, ONE[0], ".npy"))

    def _assign(self, ctx: Context, key: str, number: int) -> Result:
        """Documents and sums of vectors of every cluster in one shard: float64 [k, 1 + width]."""
        import numpy as np

        centres = self._centres(ctx, number)
        sums = np.zeros((len(centres), 1 + centres.shape[1]))
        total = 0.0
        for table in self._rows(ctx, shards=[shard for shard in ctx.shards() if shard.name == key]):
            total += add_up(sums, numbers_of(table, self.by, "train_clusters.by"), centres)
        with ctx.create(".npy") as path:
            save(path, sums)
        return Result(counts={"documents": int(sums[:, 0].sum())}, facts={"distance": total})

    def _move(self, ctx: Context, number: int) -> Result:
        import numpy as np

        phase, before = f"assign-{number:03d}", self._centres(ctx, number)
        sums = np.zeros((len(before), 1 + before.shape[1]))
        for key in ctx.keys(phase):
            sums += np.load(ctx.path(phase, key, ".npy"))
        after, moved = move(before, sums)
        with ctx.create(".npy") as path:
            save(path, after)
        return Result(counts={"documents": int(sums[:, 0].sum())}, facts={"moved": moved})

    def _finish(self, ctx: Context, key: str) -> Result:
        """Write the last centres, the largest clusters first, and their portraits for the report."""
        import numpy as np

        last = self._rounds().last(ctx)
        centres = np.load(ctx.path(f"move-{last:03d}", ONE[0], ".npy"))
        found = _Portraits(self, centres)
        for table in self._rows(ctx, ID, TEXT, *self.scores):
            found.add(table)
        order = np.lexsort((np.arange(len(centres)), -found.counts))
        with ctx.create(".npy") as path:
            save(path, centres[order])
        moved = [ctx.result(f"move-{number:03d}", ONE[0]).facts["moved"] for number in range(last + 1)]
        clusters = found.portraits(order)
        with ctx.create(".json") as path:
            text = json.dumps({"clusters": clusters, "moved": moved}, ensure_ascii=False, indent=1)
            path.write_text(text + "\n", encoding="utf-8")
        return Result(counts={"documents": int(found.counts.sum())}, facts={"rounds": last + 1})


class _Portraits:
    """The report's portrait of every cluster, gathered over all documents."""

    def __init__(self, node: TrainClusters, centres: np.ndarray) -> None:
        import numpy as np

        self.node, self.centres = node, centres
        self.counts = np.zeros(len(centres), np.int64)
        self.scores: list[list[np.ndarray]] = [[] for _ in node.scores]
        self.members: list[np.ndarray] = []
        self.examples: list[list[tuple[float, str, str]]] = [[] for _ in centres]  # the nearest ones

    def add(self, table: pa.Table) -> None:
        import numpy as np

        nearest, distance = assign(numbers_of(table, self.node.by, "train_clusters.by"), self.centres)
        self.counts += np.bincount(nearest, minlength=len(self.counts))
        self.members.append(nearest)
        for at, name in enumerate(self.node.scores):
            self.scores[at].append(numbers_of(table, name, "train_clusters.scores"))
        names, texts = table[ID].to_pylist(), table[TEXT]
        for row in np.argsort(distance, kind="stable").tolist():
            nearby = self.examples[nearest[row]]
            if len(nearby) < EXAMPLES or (float(distance[row]), names[row]) < nearby[-1][:2]:
                excerpt = " ".join(texts[row].as_py()[: 4 * EXCERPT].split())[:EXCERPT]
                nearby[:] = sorted([*nearby, (float(distance[row]), names[row], excerpt)])[:EXAMPLES]

    def portraits(self, order: np.ndarray) -> list[dict[str, Any]]:
        """One portrait for each cluster of an order, under its place there."""
        import numpy as np

        by_cluster = np.argsort(np.concatenate([np.zeros(0, np.int64), *self.members]), kind="stable")
        columns = [np.concatenate([np.zeros(0), *parts])[by_cluster] for parts in self.scores]
        stops = np.cumsum(self.counts)
        found = []
        for new, old in enumerate(order.tolist()):
            mine = slice(stops[old] - self.counts[old], stops[old])
            middles = [_middle(column[mine]) for column in columns]
            examples = [text for _, _, text in self.examples[old]]
            found.append({"cluster": new, "documents": int(self.counts[old]), "middles": middles, "examples": examples})
        return found


def _middle(values: np.ndarray) -> float | None:
    import numpy as np

    values = values[np.isfinite(values)]
    return round(float(np.median(values)), 4) if len(values) else None


def _shards(ctx: Context) -> list[str]:
    return [shard.name for shard in ctx.shards()]
