"""The phase `hits`: the n-grams of the evaluation sets that the documents of one shard hold."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.contract import Context, Result
from stages.decontaminate.forms import one_form
from stages.decontaminate.grams import Grams, load_grams
from stages.dedup.record_files import put
from stages.hashing.sketch import text_arguments, word_scratch

if TYPE_CHECKING:
    import pyarrow as pa

HIT = np.dtype([("row", "<u4"), ("gram", "<u4")])


def start(ctx: Context) -> HitWriter:
    """Begin one shard."""
    return HitWriter(ctx)


class HitWriter:
    """The `ShardWriter` of the phase: HIT (row, n-gram) once each, by row."""

    def __init__(self, ctx: Context) -> None:
        self.ctx, self.grams = ctx, load_grams(ctx)
        self.parts = [np.zeros(0, HIT)]
        self.rows = 0

    def add(self, table: pa.Table) -> None:
        """Search one batch."""
        node: Any = self.ctx.node
        owner, gram = find(one_form(table["text"]), self.grams, node.unit)
        self.rows += len(table)
        row = table["_row"].to_numpy()[owner]
        pairs = np.unique(row.astype(np.uint64) << np.uint64(32) | gram.astype(np.uint64))
        part = np.empty(len(pairs), HIT)
        part["row"], part["gram"] = pairs >> np.uint64(32), pairs & np.uint64(0xFFFFFFFF)
        self.parts.append(part)

    def finish(self) -> Result:
        """Write the hits of the shard."""
        hits = np.concatenate(self.parts)
        put(self.ctx, ".npy", hits)
        return Result({"documents": self.rows, "hits": len(hits)})


def find(text: pa.Array | pa.ChunkedArray, grams: Grams, unit: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return (document int64[h], n-gram int64[h]) of every n-gram of the sets in the documents, by document.

    Nearly no n-gram of a document is one of a set, so a table of bits by the high bits of the hashes, of at least eight
    bits a hash, stands before the binary search.
    """
    from stages.loops.passages import find_passages

    arguments, offsets = text_arguments(text, unit)
    bits = max(10, len(grams.hashes).bit_length() + 4)
    shift = np.uint64(64 - bits)
    filters = np.zeros((len(grams.widths), 1 << (bits - 3)), np.uint8)
    for j, (a, b) in enumerate(pairwise(grams.starts)):
        bit = (grams.hashes[a:b] >> shift).astype(np.int64)
        np.bitwise_or.at(filters[j], bit >> 3, np.uint8(1) << (bit & 7).astype(np.uint8))
    scratch = word_scratch(offsets, int(grams.widths.max()))
    space, hits = 4096, np.zeros(1, np.int64)
    while True:
        rows, gram = np.empty(space, np.int64), np.empty(space, np.int64)
        find_passages(*arguments, grams.widths, grams.hashes, grams.starts, filters, shift, rows, gram, hits, *scratch)
        if hits[0] <= space:
            return rows[: hits[0]], gram[: hits[0]]
        space = int(hits[0])
