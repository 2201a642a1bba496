"""The phase `members`: the documents of one shard by cluster, with their vectors in unit length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.contract import ONE, Context, Result, contiguous
from stages.dedup.record_files import fixed_width, put
from stages.generate.vectors import assign
from stages.number_columns import numbers_of

if TYPE_CHECKING:
    import pyarrow as pa


def start(ctx: Context) -> MemberWriter:
    """Begin one shard."""
    return MemberWriter(ctx)


def whole(ctx: Context) -> dict[str, str]:
    """Return what decides clusters beside the rows: the model."""
    return {"model": ctx.fingerprint("model")}


class MemberWriter:
    """The `ShardWriter` of the phase.

    `.npy` holds a record for each document that has a vector, in order of (cluster, row): row, distance to the centre,
    id; `-vectors.npy` its vector; `-bounds.npy` where each cluster begins and ends.
    """

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.centres = np.load(ctx.path("centres", ONE[0], ".npy", of="model"))
        self.documents = 0
        self.parts: list[tuple[np.ndarray, ...]] = []
        self.ids: list[pa.Array] = []

    def add(self, table: pa.Table) -> None:
        """Find the clusters of one batch."""
        import pyarrow as pa

        node: Any = self.ctx.node
        column = table[node.by()]
        have = np.flatnonzero(column.is_valid().to_numpy())
        vectors = numbers_of(table, node.by(), "semantic_dedup")[have]
        nearest, distance = assign(vectors, self.centres)
        lengths = np.sqrt((vectors.astype(np.float64) ** 2).sum(1))
        unit = (vectors / np.where(lengths > 0, lengths, 1)[:, None]).astype(np.float32)
        self.parts.append((nearest, table["_row"].to_numpy()[have], distance, unit))
        self.ids.append(contiguous(table["id"]).cast(pa.string()).take(pa.array(have)))
        self.documents += len(table)

    def finish(self) -> Result:
        """Write the files of the shard."""
        import pyarrow as pa

        width = self.centres.shape[1]
        none = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros((0, width), np.float32))
        nearest, row, distance, unit = (np.concatenate(arrays) for arrays in zip(none, *self.parts, strict=True))
        ids = fixed_width(pa.concat_arrays(self.ids) if self.ids else pa.array([], pa.string()))
        order = np.argsort(nearest, kind="stable")
        records = np.zeros(len(row), np.dtype([("row", "<u4"), ("distance", "<f4"), ("id", ids.dtype)]))
        records["row"], records["distance"], records["id"] = row, distance, ids
        bounds = np.searchsorted(nearest[order], np.arange(len(self.centres) + 1))
        for ext, array in ((".npy", records[order]), ("-vectors.npy", unit[order]), ("-bounds.npy", bounds)):
            put(self.ctx, ext, array)
        return Result({"documents": self.documents, "members": len(row), "without": self.documents - len(row)})
