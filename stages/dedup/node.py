"""What every dedup of documents shares: fields, phases, report. Nothing heavy is imported before a task runs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pipeline.contract import (
    Context,
    DocumentRow,
    FinishedNode,
    Law,
    Node,
    Phase,
    RowPhase,
    ShardPhase,
    TaskPhase,
    one,
    runtime,
    sources,
    threshold,
)
from pipeline.errors import RecipeError
from stages.documents import carried

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from stages.dedup.keep import Verdict
    from stages.dedup.key_writer import Hashes
    from stages.dedup.members import Members

Keep = Literal["first", "longest"] | tuple[str, Literal["max", "min"]]


@dataclass(frozen=True, kw_only=True, eq=False)
class DedupNode(Node):
    """Group documents by shared keys, keep one of each group, say for every other one which it duplicates.

    keep      which document of a group stays: `first` in order of the input (of `docs`, in their order), `longest`
              (bytes of text), or a column with `max` or `min`; ties go to the first
    against   earlier nodes of the same kind over other documents: their documents win every tie and are never removed
    against_folders  the same, by the folders of finished nodes in other stores (`STORE/nodes/minhash_dedup-...`)
    max_removed_fraction  stop before anything is removed when more of one source goes (`source` column; sources of at
              least 100 documents) or of all documents; a mapping sets limits by source, `"*"` for the others
    dry_run   find and report, remove nothing
    """

    docs: Node | tuple[Node, ...]
    against: tuple[Node, ...] = ()
    against_folders: tuple[str, ...] = sources(())
    keep: Keep = "first"
    dry_run: bool = threshold(False)
    max_removed_fraction: float | Mapping[str, float] = runtime(0.9)

    near: ClassVar[str | None] = None  # reason of a removal by resemblance
    copy: ClassVar[str] = ""  # reason of a removal as a copy
    hash_fields: ClassVar[tuple[str, ...]] = ()  # all that can change the keys
    judge_fields: ClassVar[tuple[str, ...]] = ("keep",)  # and, with these, which documents go

    @abstractmethod
    def hasher(self) -> Callable[[pa.Table], Hashes]:
        """Runs once per shard; hashes one batch."""

    def hash_needs(self) -> tuple[str, ...]:
        """Columns that the hasher reads; with `text` the length of the text is noted too."""
        return ("text",)

    @abstractmethod
    def judge(self, members: Members, order: np.ndarray) -> Verdict:
        """Which members of the clusters go, and for whom."""

    @abstractmethod
    def keys_per_document(self) -> int:
        """Keys that one document puts into the exchange."""

    def places(self) -> int:
        """Places of a signature; 0 where only copies are looked for."""
        return 0

    def limit(self) -> float | None:
        """What the estimate was held against."""
        return None

    @abstractmethod
    def columns(self) -> Mapping[str, str]:
        """Verdict -> name of the added column; verdicts are those of `members.COLUMNS`."""

    def adds(self) -> dict[str, str]:
        kinds = {"duplicate_of": "string", "cluster_id": "string", "cluster_size": "int32", "estimate": "float32"}
        return {name: kinds[verdict] for verdict, name in self.columns().items()}

    def phases(self) -> tuple[Phase, ...]:
        # A node's folder is named after its content, so its name can stand for the digests of its files here.
        joined = (*self.hash_fields, "against_folders")
        judged = (*joined, *self.judge_fields)
        needs = ("id", "_row", *self.hash_needs(), *carried(self.docs, "source"))
        law = Law("documents", "rows", ("keyed", "unkeyed"))
        return (
            ShardPhase(name="keys", open=_keys, needs=tuple(dict.fromkeys(needs)), fields=self.hash_fields, law=law),
            TaskPhase(name="merge", keys=_merge_keys, run=_merge, fields=joined),
            TaskPhase(name="edges", keys=_edge_keys, run=_edges, fields=joined),
            TaskPhase(name="components", keys=one, run=_components, fields=joined),
            TaskPhase(name="keep", keys=_groups, run=_keep, fields=judged),
            TaskPhase(name="verdict", keys=one, run=_verdict, fields=judged),
            RowPhase(name="rows", open=_rows, needs=("_row",), per_shard=True),
        )

    def check(self) -> None:
        name = type(self).__name__
        rule = self.keep
        if rule not in ("first", "longest") and not (
            isinstance(rule, tuple) and len(rule) == 2 and rule[1] in ("max", "min")
        ):
            raise RecipeError(f"{name}.keep", f"{rule!r}", "first, longest, or a column with max or min: [stars, max]")
        for source, share in _limits(self.max_removed_fraction).items():
            if not (isinstance(share, int | float) and 0 < share <= 1):
                raise RecipeError(f"{name}.max_removed_fraction", f"{share!r} for {source!r}", "a share in (0, 1]")
        for i, other in enumerate(self.against):
            if type(other) is not type(self) or any(
                getattr(other, field) != getattr(self, field) for field in self.hash_fields
            ):
                raise RecipeError(
                    f"{name}.against[{i}]",
                    f"a {type(other).__name__} whose keys are made otherwise",
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


def _limits(limit: float | Mapping[str, float]) -> Mapping[str, float]:
    return limit if isinstance(limit, Mapping) else {"*": limit}


def _keys(ctx: Context):
    from stages.dedup.key_writer import KeyWriter

    return KeyWriter(ctx)


def _merge_keys(ctx: Context):
    from stages.dedup.exchange import merge_keys

    return merge_keys(ctx)


def _merge(ctx: Context, key: str):
    from stages.dedup.exchange import merge

    return merge(ctx, key)


def _edge_keys(ctx: Context):
    from stages.dedup.exchange import edge_keys

    return edge_keys(ctx)


def _edges(ctx: Context, key: str):
    from stages.dedup.exchange import edges

    return edges(ctx, key)


def _components(ctx: Context, key: str):
    from stages.dedup.exchange import components

    return components(ctx, key)


def _groups(ctx: Context):
    from stages.dedup.exchange import groups

    return groups(ctx)


def _keep(ctx: Context, key: str):
    from stages.dedup.members import keep

    return keep(ctx, key)


def _verdict(ctx: Context, key: str):
    from stages.dedup.verdict import verdict

    return verdict(ctx)


def _rows(ctx: Context):
    from stages.dedup.members import row_function

    return row_function(ctx)
