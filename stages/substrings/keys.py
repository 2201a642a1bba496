"""The phase `keys`: the anchors of the documents of one shard, and the names of these documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.contract import Context, Result, contiguous
from stages.dedup.key_files import KeyFile, range_count
from stages.dedup.record_files import fixed_width, put
from stages.substrings.units import anchors, gram_of, words_of

if TYPE_CHECKING:
    import pyarrow as pa

WORD_BYTES = 6  # of text, assumed, so that the number of key ranges depends on the size of the corpus alone


def start(ctx: Context) -> AnchorWriter:
    """Begin one shard."""
    return AnchorWriter(ctx)


class AnchorWriter:
    """The `ShardWriter` of the phase: a key per anchor, in order of (row, place)."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.file = KeyFile(whole(ctx))
        self.rows: list[np.ndarray] = [np.zeros(0, np.uint32)]
        self.ids: list[pa.Array] = []
        self.documents = self.words = 0

    def add(self, table: pa.Table) -> None:
        """Find the anchors of one batch."""
        import pyarrow as pa

        node: Any = self.ctx.node
        words, stops = words_of(table["text"], node.unit)
        found = anchors(words, stops, node.length)
        row = table["_row"].to_numpy()
        self.file.add(found.key[:, None], row[found.owner])
        held = np.unique(found.owner)
        self.rows.append(row[held].astype(np.uint32))
        self.ids.append(contiguous(table["id"]).cast(pa.string()).take(pa.array(held)))
        self.documents += len(table)
        self.words += len(words)

    def finish(self) -> Result:
        """Write the key file, and the ids of the documents that are long enough (`-ids.npy`, by row)."""
        import pyarrow as pa

        with self.ctx.create(".parquet") as path:
            keys = self.file.write(path)
        names = fixed_width(pa.concat_arrays(self.ids) if self.ids else pa.array([], pa.string()))
        found = np.zeros(len(names), np.dtype([("row", "<u4"), ("id", names.dtype)]))
        found["row"], found["id"] = np.concatenate(self.rows), names
        put(self.ctx, "-ids.npy", found)
        return Result({"documents": self.documents, "words": self.words, "keys": keys})


def whole(ctx: Context) -> int:
    """Return the number of key ranges of this node's exchange, which hangs on the size of all texts."""
    node: Any = ctx.node
    words = sum(shard.text_bytes for shard in ctx.shards("docs")) // WORD_BYTES
    # Of random hashes, two in each (width + 1) are the smallest of some `width` neighbours (Schleimer et al. 2003).
    return range_count(2 * words // (node.length - gram_of(node.length) + 2), 1)
