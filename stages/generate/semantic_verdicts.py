"""The phase `rows`: what was found of the documents of one shard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.contract import Columns, Context, Removed, RowFunction
from stages.dedup.dense import rows_of_shard
from stages.dedup.record_files import stored

if TYPE_CHECKING:
    import pyarrow as pa


def start(ctx: Context) -> RowFunction:
    """Return the function that adds the verdicts to a batch of the shard and removes its duplicates."""
    import pyarrow as pa

    node: Any = ctx.node
    first, stop = rows_of_shard(ctx)
    found: dict[int, tuple[str, float]] = {}
    for key in ctx.keys("pairs"):
        records = stored(ctx.path("pairs", key, ".npy"))
        low, high = np.searchsorted(records["row"], [first, stop])
        rows, kept, cosine = (records[name][low:high].tolist() for name in ("row", "kept", "cosine"))
        found.update((row, (name.decode(), near)) for row, name, near in zip(rows, kept, cosine, strict=True))

    def decide(table: pa.Table) -> Columns:
        verdicts = [found.get(row + first, (None, None)) for row in table["_row"].to_pylist()]
        cosine = pa.array([near for _, near in verdicts], pa.float32())
        added = {
            "semantic_duplicate_of": pa.array([name for name, _ in verdicts], pa.string()),
            "semantic_similarity": cosine,
        }
        if node.action == "flag":
            return Columns(added=added)
        return Columns(
            added=added,
            removed=Removed.where(cosine.is_valid(), "semantic_dedup.near", value=cosine, threshold=node.similarity),
        )

    return decide
