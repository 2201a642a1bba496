"""The phase `rows`: repeated units are taken out of the documents of one shard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.contract import Columns, Context, Removed, RowFunction
from stages.dedup.dense import mark, records_of_shard
from stages.lines.repeats import REPEAT
from stages.lines.units import Units, units

if TYPE_CHECKING:
    import pyarrow as pa


def start(ctx: Context) -> RowFunction:
    """Return the function that takes repeated units out of a batch of the shard."""
    import pyarrow as pa
    import pyarrow.compute as pc

    node: Any = ctx.node
    base, known = records_of_shard(ctx, "repeats", REPEAT)
    marks = mark(known["row"], known["key"])
    known, marks = known[order := np.argsort(marks)], marks[order]
    glue = pa.scalar("\n" if node.unit == "line" else "\n\n", pa.large_string())

    def cleaned(table: pa.Table) -> Columns:
        of = units(ctx, table["text"])
        dense = table["_row"].to_numpy()[of.owner] + base
        drops, first = _look_up(dense, of, known, marks)
        # The document that holds the first occurrence keeps that one, and loses its repeats inside the same document.
        at = np.flatnonzero(first)
        drops[at[np.unique(mark(dense[at], of.key[at]), return_index=True)[1]]] = False
        dropped = np.bincount(of.owner[drops], minlength=len(table))
        left = np.bincount(of.owner[~drops], minlength=len(table))
        worded = np.bincount(of.owner[~drops & of.counts], minlength=len(table))
        empty = (dropped > 0) & (worded == 0)
        lists = pa.ListArray.from_arrays(
            pa.array(np.concatenate([[0], np.cumsum(left)]), pa.int32()), of.text.filter(pa.array(~drops))
        )
        text = pc.if_else(
            pa.array((dropped > 0) & ~empty), pc.binary_join(lists, glue), pa.scalar(None, pa.large_string())
        )
        return Columns(
            added={"lines_kept": left.astype(np.int32), "lines_dropped": dropped.astype(np.int32)},
            removed=Removed.where(pa.array(empty), "line_dedup.empty", value=dropped.astype(float)),
            text=text.cast(pa.string()),
        )

    return cleaned


def _look_up(dense: np.ndarray, of: Units, known: np.ndarray, marks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (bool[m]: the unit is repeated; bool[m]: and its document holds the first occurrence)."""
    if not len(known):
        return np.zeros(len(dense), bool), np.zeros(len(dense), bool)
    at = np.minimum(np.searchsorted(marks, mark(dense, of.key)), len(marks) - 1)
    hit = of.counts & (known["row"][at] == dense) & (known["key"][at] == of.key)
    return hit, hit & known["first"][at]
