"""The phase `keys`: a key for every unit of the documents of one shard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.contract import Context, Result
from stages.dedup.key_files import KeyFile, range_count
from stages.lines.units import units

if TYPE_CHECKING:
    import pyarrow as pa

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

    def add(self, table: pa.Table) -> None:
        """Hash the units of one batch."""
        of = units(self.ctx, table["text"])
        rows = table["_row"].to_numpy()[of.owner]
        self.file.add(of.key[of.counts, None], rows[of.counts])
        self.rows += len(table)
        self.found += len(of.key)

    def finish(self) -> Result:
        """Write the key file."""
        with self.ctx.create(".parquet") as path:
            keys = self.file.write(path)
        return Result({"documents": self.rows, "units": self.found, "keys": keys})


def whole(ctx: Context) -> int:
    """Return the number of key ranges of this node's exchange, which hangs on the number of rows of all shards."""
    return range_count(sum(shard.rows for shard in ctx.shards("docs")), UNITS_PER_ROW)
