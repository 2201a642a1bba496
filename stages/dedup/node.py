"""The phases that every dedup of documents runs, and the checks of its fields."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pipeline.contract import Context, DocumentRow, FinishedNode, Law, Phase, RowPhase, ShardPhase
from pipeline.errors import RecipeError
from stages.dedup.method import COLUMN_TYPES, Hashes, Members, Method, Verdict
from stages.dedup.phase_files import beyond, opener, tasks
from stages.documents import carried

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


def _files() -> Mapping[str, ModuleType]:
    from stages.dedup import components, edges, keep, keys, merge, removals, totals

    return {
        "keys": keys, "merge": merge, "edges": edges, "components": components, "keep": keep, "verdict": totals,
        "rows": removals,
    }  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class DedupNode(Method):
    """A method with its phases; see `Method` for the fields that every method has."""

    def adds(self) -> dict[str, str]:
        return {name: COLUMN_TYPES[column] for column, name in self.columns().items()}

    def original_column(self) -> str:
        return self.columns()["duplicate_of"]

    def phases(self) -> tuple[Phase, ...]:
        # A node's folder is named after its content, so its name can stand for the digests of its files here.
        joined = (*self.hash_fields, "against_folders")
        judged = (*joined, *self.judge_fields)
        needs = ("id", "_row", *self.hash_needs(), *carried(self.docs, "source"))
        law = Law("documents", "rows", ("keyed", "unkeyed"))
        return (
            ShardPhase(
                name="keys",
                open=opener(_files, "keys"),
                needs=tuple(dict.fromkeys(needs)),
                fields=self.hash_fields,
                law=law,
                whole=beyond(_files, "keys"),
            ),
            tasks(_files, "merge", joined),
            tasks(_files, "edges", joined),
            tasks(_files, "components", joined),
            tasks(_files, "keep", judged),
            # Without `fields`, so never linked from another node: its guard must look at each node itself.
            tasks(_files, "verdict"),
            RowPhase(name="rows", open=opener(_files, "rows"), needs=("_row",), per_shard=True),
        )

    def check(self) -> None:
        name = self.kind()
        for i, other in enumerate(self.against):
            if type(other) is not type(self) or any(
                getattr(other, field) != getattr(self, field) for field in self.hash_fields
            ):
                raise RecipeError(
                    f"{name}.against[{i}]",
                    f"a {other.kind()} whose keys are computed from other fields",
                    f"a {name} with the same " + ", ".join(self.hash_fields),
                )

    def figures(self, ctx: Context) -> Sequence[Mapping[str, Any]]:
        from stages.dedup.figures import figures

        return figures(ctx)

    @classmethod
    def explain(cls, ctx: FinishedNode, row: DocumentRow) -> Mapping[str, Any]:
        import pyarrow.compute as pc

        removed = ctx.removed()
        return {"copies": removed.filter(pc.equal(removed["duplicate_of"], row.id))["id"].to_pylist()}

    def predict_bytes(self, rows: int, text_bytes: int) -> int:
        exchanged = 12 * self.keys_per_document() + 4 * self.places()
        return 256 * 1024 + rows * (exchanged + 60 + 2)

    def predict_memory(self, rows: int, text_bytes: int) -> int:
        shard = min(rows, 200_000)
        return 350 * 1024**2 + max(4 * rows, 2 * shard * 12 * self.keys_per_document())


@dataclass(frozen=True, kw_only=True, eq=False)
class CopyDedup(DedupNode):
    """A method that finds equal documents alone: one 128-bit hash each, and its first half is the key."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.copy = f"{cls.kind()}.copy"
        cls.reasons = (cls.copy,)

    @abstractmethod
    def hashed(self, table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
        """Return (uint64[n, 2]: equal for copies, [n]: a size; a document of size 0 is no copy of any)."""

    def hasher(self) -> Callable[[pa.Table], Hashes]:
        import numpy as np

        def hashes(table: pa.Table) -> Hashes:
            exact, size = self.hashed(table)
            return Hashes(exact[:, :1], exact, np.empty((len(table), 0), np.uint32), size > 0)

        return hashes

    def judge(self, members: Members, order: np.ndarray) -> Verdict:
        from stages.dedup.anchors import judge_copies

        return judge_copies(members.starts, order, members.exact, pinned=members.old)

    def keys_per_document(self) -> int:
        return 1

    def columns(self) -> Mapping[str, str]:
        what = self.kind().removesuffix("_dedup")
        return {"duplicate_of": f"{what}_duplicate_of", "cluster_size": f"{what}_copies"}
