"""Documents that say the same in other words: near vectors inside of one cluster.

Source: Abbas et al., "SemDeDup: Data-efficient learning at web-scale through semantic deduplication", 2023. There a
document goes for any one before it in its cluster, whether that one stays or not; here only for one that stays, as in
every dedup of siftloom: no chain of neighbours takes away what resembles nothing that is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Annotated, Any, Literal

from annotated_types import Interval

from pipeline.contract import Context, Law, Node, Phase, RowFunction, RowNode, RowPhase, ShardPhase, threshold
from stages.dedup.phase_files import beyond, opener, tasks
from stages.documents import columns_of
from stages.generate.train_clusters import TrainClusters
from stages.generate.vectors import check_vectors
from stages.wants import Clusters


def _files() -> Mapping[str, ModuleType]:
    from stages.generate import semantic_members, semantic_pairs, semantic_verdicts

    return {"members": semantic_members, "pairs": semantic_pairs, "rows": semantic_verdicts}


@dataclass(frozen=True, kw_only=True, eq=False)
class SemanticDedup(RowNode):
    """Keep one of documents whose vectors are near each other inside of one cluster.

    docs        documents with the column of vectors that `model` was trained on
    model       a `train_clusters` node: documents are compared with those of the same nearest centre. Where k is small,
                clusters are large, and a cluster's cost is the square of its documents
    similarity  the cosine of two vectors from which on one document goes
    keep        `farthest`: documents far from the centre are kept first (the choice of SemDeDup, which holds them to be
                less common); `nearest`: those near it. Ties go to the first in order of the corpus
    action      `drop`, or `flag`: columns only

    A document goes for the nearest one that stays, of those before it. Adds `semantic_duplicate_of` (its id) and
    `semantic_similarity` float32, the cosine of both; removes with `semantic_dedup.near`, value = cosine. Documents
    without a vector stay.
    """

    docs: Node | tuple[Node, ...]
    model: Clusters
    similarity: Annotated[float, Interval(gt=0, le=1)] = threshold(0.95)
    keep: Literal["farthest", "nearest"] = threshold("farthest")
    action: Literal["drop", "flag"] = threshold("drop")

    reasons = ("semantic_dedup.near",)

    def by(self) -> str:
        """Return the column of vectors."""
        return self.model.by if isinstance(self.model, TrainClusters) else "vector"

    def adds(self) -> dict[str, str]:
        return {"semantic_duplicate_of": "string", "semantic_similarity": "float32"}

    def original_column(self) -> str:
        return "semantic_duplicate_of"

    def check(self) -> None:
        check_vectors("semantic_dedup", columns_of(self.docs), by=self.by())

    def phases(self) -> tuple[Phase, ...]:
        return (
            ShardPhase(
                name="members",
                open=opener(_files, "members"),
                needs=("id", "_row", self.by()),
                fields=(),
                law=Law("documents", "documents", ("members", "without")),
                whole=beyond(_files, "members"),
            ),
            tasks(_files, "pairs", ("similarity", "keep")),
            RowPhase(name="rows", open=self.open, needs=("_row",), per_shard=True),
        )

    def open(self, ctx: Context) -> RowFunction:
        return opener(_files, "rows")(ctx)

    def figures(self, ctx: Context) -> Sequence[Mapping[str, Any]]:
        from stages.generate.semantic_pairs import largest

        return [
            {
                "kind": "table",
                "section": "duplicates",
                "title": "semantic_dedup: clusters with most removals",
                "columns": ["cluster", "documents", "near another one that stays"],
                "rows": largest(ctx),
            }
        ]

    def predict_bytes(self, rows: int, text_bytes: int) -> int:
        return 64 * 1024 + rows * (4 * 384 + 60)

    def predict_memory(self, rows: int, text_bytes: int) -> int:
        k = getattr(self.model, "k", 100)
        return 400 * 1024**2 + 4 * (rows // k) * 12 * 384  # a cluster four times as large as the mean
