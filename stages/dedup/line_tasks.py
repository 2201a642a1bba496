"""The tasks of `line_dedup`: keys of all units per shard, repeated ones per key range, rows they are taken from.

A unit is known by 64 bits of its words: among n different units, a false repeat is expected n^2 / 2^65 times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.contract import Columns, Context, Removed, Result, RowFunction, contiguous
from stages.dedup.keys import KeyFile, range_count, read_range
from stages.dedup.records import save
from stages.dedup.rows import first_rows
from stages.dedup.sketch import byte_hashes, sketch

if TYPE_CHECKING:
    import pyarrow as pa

    from stages.dedup.lines import LineDedup

UNITS_PER_ROW = 32  # reckoned with when key ranges are cut, so that their number depends on the rows only
REPEAT = np.dtype([("row", "<i8"), ("key", "<u8"), ("first", "?"), ("spare", "V7")])
SHOWN = 10  # most frequent units of one range
SPREAD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Units:
    """The lines or paragraphs of a batch of documents, in order.

    text    Arrow array[m]
    starts  int64[n + 1]: the first unit of each document
    owner   int64[m]: its document in the batch
    key     uint64[m]
    counts  bool[m]: it has `min_words` words
    """

    text: pa.Array
    starts: np.ndarray
    owner: np.ndarray
    key: np.ndarray
    counts: np.ndarray


def units(node: LineDedup, text: pa.ChunkedArray) -> Units:
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = pc.fill_null(contiguous(text).cast(pa.large_string()), "")
    cut = pc.split_pattern(whole, "\n") if node.unit == "line" else pc.split_pattern_regex(whole, r"\n[ \t\r]*\n\s*")
    found = cut.flatten()
    sizes = pc.list_value_length(cut).to_numpy()
    made = sketch(found, keys=False)
    exact = made.exact if node.match == "words" else byte_hashes(pc.utf8_trim_whitespace(found))[0]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    owner = np.repeat(np.arange(len(sizes)), sizes)
    return Units(found, starts, owner, exact[:, 0], made.words >= node.min_words)


class LineWriter:
    """`ShardWriter` of the phase `keys`: a key per unit that counts, in order of (row, place in the document)."""

    def __init__(self, ctx: Context) -> None:
        self.ctx, self.node = ctx, ctx.node
        self.file = KeyFile(_range_count(ctx))
        self.rows = self.found = 0

    def add(self, table: pa.Table) -> None:
        of = units(self.node, table["text"])  # type: ignore[arg-type]
        rows = table["_row"].to_numpy()[of.owner]
        self.file.add(of.key[of.counts, None], rows[of.counts])
        self.rows += len(table)
        self.found += len(of.key)

    def finish(self) -> Result:
        with self.ctx.create(".parquet") as path:
            keys = self.file.write(path)
        return Result({"documents": self.rows, "units": self.found, "keys": keys})


def _range_count(ctx: Context) -> int:
    return range_count(sum(shard.rows for shard in ctx.shards("docs")), UNITS_PER_ROW)


def range_keys(ctx: Context) -> Sequence[str]:
    return tuple(f"{index:06d}" for index in range(_range_count(ctx)))


def repeats(ctx: Context, key: str) -> Result:
    """(row, key, whether the row holds the first occurrence) of every repeated unit, by row; dense rows."""
    node: LineDedup = ctx.node  # type: ignore[assignment]
    shards, index, ranges = ctx.shards("docs"), int(key), _range_count(ctx)
    pairs = []
    for shard, first in zip(shards, first_rows(s.rows for s in shards), strict=False):
        keys, local = read_range(ctx.path("keys", shard.name, ".parquet"), index, ranges)
        pairs.append((keys, local.astype(np.int64) + first))
    keys = np.concatenate([np.zeros(0, np.uint64), *(k for k, _ in pairs)])
    rows = np.concatenate([np.zeros(0, np.int64), *(r for _, r in pairs)])
    order = np.lexsort((rows, keys))
    keys, rows = keys[order], rows[order]
    new = np.ones(len(keys), bool)
    new[1:] = keys[1:] != keys[:-1]
    first = np.flatnonzero(new)
    copies = np.diff(first, append=len(keys))
    often = np.repeat(copies >= node.min_copies, copies)
    distinct = new.copy()
    distinct[1:] |= rows[1:] != rows[:-1]
    found = np.zeros(int((often & distinct).sum()), REPEAT)
    found["row"], found["key"] = rows[often & distinct], keys[often & distinct]
    found["first"] = new[often & distinct] & (node.keep == "first")
    found = found[np.lexsort((found["key"], found["row"]))]
    with ctx.create(".npy") as path:
        save(path, found)
    top = np.lexsort((first, -copies))[:SHOWN]
    shown = [
        [int(copies[i]), int(rows[first[i]]), f"{keys[first[i]]:016x}"] for i in top if copies[i] >= node.min_copies
    ]
    repeated = copies[copies >= node.min_copies]
    return Result({"keys": len(keys), "repeated": len(repeated), "copies": int(repeated.sum())}, {"most": shown})


def row_function(ctx: Context) -> RowFunction:
    """Takes the repeated units out of the documents of one shard."""
    import pyarrow as pa
    import pyarrow.compute as pc

    node: LineDedup = ctx.node  # type: ignore[assignment]
    base, known = _repeats_of_shard(ctx)
    mark = _mark(known["row"], known["key"])
    known, mark = known[order := np.argsort(mark)], mark[order]
    glue = pa.scalar("\n" if node.unit == "line" else "\n\n", pa.large_string())

    def cleaned(table: pa.Table) -> Columns:
        of = units(node, table["text"])
        dense = table["_row"].to_numpy()[of.owner] + base
        drops, first = _look_up(dense, of, known, mark)
        # The document that holds the first occurrence keeps that one, and loses its repeats inside the same document.
        at = np.flatnonzero(first)
        drops[at[np.unique(_mark(dense[at], of.key[at]), return_index=True)[1]]] = False
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


def _look_up(dense: np.ndarray, of: Units, known: np.ndarray, mark: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(bool[m]: the unit is repeated; bool[m]: and its document holds the first)."""
    if not len(known):
        return np.zeros(len(dense), bool), np.zeros(len(dense), bool)
    at = np.minimum(np.searchsorted(mark, _mark(dense, of.key)), len(mark) - 1)
    hit = of.counts & (known["row"][at] == dense) & (known["key"][at] == of.key)
    return hit, hit & known["first"][at]


def _mark(row: np.ndarray, key: np.ndarray) -> np.ndarray:
    """One number for (row, key), to search by."""
    return key ^ (row.astype(np.uint64) * SPREAD)


def _repeats_of_shard(ctx: Context) -> tuple[int, np.ndarray]:
    shards = ctx.shards("docs")
    assert ctx.shard is not None
    at = [shard.name for shard in shards].index(ctx.shard.name)
    first = first_rows(s.rows for s in shards)
    parts = [np.zeros(0, REPEAT)]
    for key in ctx.keys("repeats"):
        found = np.load(ctx.path("repeats", key, ".npy"))
        low, high = np.searchsorted(found["row"], first[at : at + 2])
        parts.append(found[low:high])
    return int(first[at]), np.concatenate(parts)


def most_repeated(ctx: Context) -> list[tuple[str, int]]:
    """The most frequent units of the corpus with their counts."""
    found = [entry for key in ctx.keys("repeats") for entry in ctx.result("repeats", key).facts["most"]]
    found = sorted(found, key=lambda entry: (-entry[0], entry[1], entry[2]))[:SHOWN]
    shards = ctx.shards("docs")
    first = first_rows(s.rows for s in shards)
    shown = []
    for copies, row, key in found:
        at = int(np.searchsorted(first, row, side="right")) - 1
        shown.append((_text(ctx, shards[at], row - int(first[at]), int(key, 16)), copies))
    return shown


def _text(ctx: Context, shard, row: int, key: int) -> str:
    for _, table in ctx.rows(["_row", "text"], shards=[shard]):
        at = np.flatnonzero(table["_row"].to_numpy() == row)
        if len(at):
            of = units(ctx.node, table["text"].slice(int(at[0]), 1))  # type: ignore[arg-type]
            return of.text[int(np.flatnonzero(of.key == np.uint64(key))[0])].as_py().strip()[:200]
    raise AssertionError(f"row {row} of {shard.name} had a key and is gone")
