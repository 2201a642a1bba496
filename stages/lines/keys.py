"""The phase `keys`: a key for every unit of the documents of one shard."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.contract import Context, Result
from stages.dedup.key_files import KeyFile, range_count
from stages.dedup.record_files import put
from stages.lines.units import units

if TYPE_CHECKING:
    import pyarrow as pa

RANK, RANKS = np.dtype([("row", "<i8"), ("rank", "<u8")]), "-ranks.npy"
LAST = (1 << 64) - 1
UNITS_PER_ROW = 32  # assumed, so that the number of key ranges depends on the number of rows alone


def start(ctx: Context) -> LineWriter:
    """Begin one shard."""
    return LineWriter(ctx)


class LineWriter:
    """The `ShardWriter` of the phase: a key per unit that counts, in order of (row, place in the document)."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.file = KeyFile(whole(ctx))
        self.rows = self.found = 0
        self.ranks = [np.zeros(0, RANK)] if ctx.node.first_by is not None else []  # pyright: ignore[reportAttributeAccessIssue]

    def add(self, table: pa.Table) -> None:
        """Hash the units of one batch."""
        of = units(self.ctx, table["text"])
        rows = table["_row"].to_numpy()[of.owner]
        self.file.add(of.key[of.counts, None], rows[of.counts])
        if self.ranks:
            column: Any = self.ctx.node.first_by  # pyright: ignore[reportAttributeAccessIssue]
            ranks = np.empty(len(table), RANK)
            ranks["row"] = table["_row"].to_numpy()
            ranks["rank"] = np.array([_rank(each) for each in table[column].to_pylist()], np.uint64)
            self.ranks.append(ranks)
        self.rows += len(table)
        self.found += len(of.key)

    def finish(self) -> Result:
        """Write the key file."""
        with self.ctx.create(".parquet") as path:
            keys = self.file.write(path)
        if self.ranks:
            put(self.ctx, RANKS, np.concatenate(self.ranks))
        return Result({"documents": self.rows, "units": self.found, "keys": keys})


def _rank(value: object) -> int:
    """The first 64 bits of an MD5; no value comes last."""
    return LAST if value is None else int.from_bytes(hashlib.md5(str(value).encode()).digest()[:8])


def ranks(ctx: Context) -> np.ndarray | None:
    """Return uint64[n]: by which order of the n dense rows an occurrence is the first one, None for their own."""
    if ctx.node.first_by is None:  # pyright: ignore[reportAttributeAccessIssue]
        return None
    parts = []
    for shard in ctx.shards("docs"):
        of = np.full(shard.rows, LAST, np.uint64)
        found = np.load(ctx.path("keys", shard.name, RANKS))
        of[found["row"]] = found["rank"]
        parts.append(of)
    return np.concatenate([np.zeros(0, np.uint64), *parts])


def whole(ctx: Context) -> int:
    """Return the number of key ranges of this node's exchange, which hangs on the number of rows of all shards."""
    return range_count(sum(shard.rows for shard in ctx.shards("docs")), UNITS_PER_ROW)
