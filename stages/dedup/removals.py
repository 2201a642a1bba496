"""The phase `rows`: the verdicts of all groups on the rows of one shard."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from pipeline.contract import Columns, Context, Removed, RowFunction
from stages.dedup.corpus import corpus
from stages.dedup.method import Method
from stages.dedup.record_files import stored_table

if TYPE_CHECKING:
    import pyarrow as pa


def start(ctx: Context) -> RowFunction:
    """Return the function that adds the verdicts to a batch of the shard and removes its duplicates."""
    import pyarrow as pa
    import pyarrow.compute as pc

    node: Method = ctx.node  # type: ignore[assignment]
    assert ctx.shard is not None
    rows = corpus(ctx)
    first = int(rows.first[[part.shard.name for part in rows.parts].index(ctx.shard.name)])
    parts = list(_verdicts(ctx, first, first + ctx.shard.rows))
    table = parts[0] if len(parts) == 1 else pa.concat_tables(parts).sort_by("row")
    table = table.combine_chunks()
    known = table["row"].to_numpy()
    columns = node.columns()

    def decide(batch: pa.Table) -> Columns:
        dense = batch["_row"].to_numpy() + first
        at = np.minimum(np.searchsorted(known, dense), max(len(known) - 1, 0))
        hit = known[at] == dense if len(known) else np.zeros(len(dense), bool)
        verdicts = table.take(pa.array(at, mask=~hit))  # null for a row without a verdict
        added = {name: verdicts[column] for column, name in columns.items()}
        if node.dry_run:
            return Columns(added=added)
        gone = pc.is_valid(verdicts["duplicate_of"])
        reason = pc.if_else(verdicts["copy"], node.copy, node.near or node.copy)
        value = verdicts["estimate"] if node.near else verdicts["cluster_size"]
        limit = node.limit()
        nothing = pa.scalar(None, pa.float64())
        return Columns(
            added=added,
            removed=Removed(
                pc.if_else(gone, reason, pa.scalar(None, pa.string())),
                pc.if_else(gone, value.cast(pa.float64()), nothing),
                pc.if_else(gone, nothing if limit is None else pa.scalar(float(limit)), nothing),
            ),
        )

    return decide


def _verdicts(ctx: Context, first: int, stop: int) -> Iterator[pa.Table]:
    """Yield the verdicts of every group on the dense rows from `first` to `stop`."""
    for key in ctx.keys("keep"):
        table = stored_table(ctx.path("keep", key, ".arrow"))
        low, high = np.searchsorted(table["row"].to_numpy(), [first, stop])
        yield table.slice(low, high - low)
