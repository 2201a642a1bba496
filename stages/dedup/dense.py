"""What phases over dense rows share: rows of all shards, numbered in order of the corpus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from pipeline.contract import Context, Shard
from stages.dedup.corpus import first_rows
from stages.dedup.key_files import read_range
from stages.dedup.record_files import stored

if TYPE_CHECKING:
    import pyarrow as pa

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: spreads row numbers over all bits


def shards_and_firsts(ctx: Context) -> Iterator[tuple[Shard, int]]:
    """Yield every shard with the dense number of its first row."""
    shards = ctx.shards("docs")
    yield from zip(shards, first_rows(shard.rows for shard in shards).tolist(), strict=False)


def range_names(ranges: int) -> tuple[str, ...]:
    """Return one task key per key range."""
    return tuple(f"{index:06d}" for index in range(ranges))


def keys_of_range(ctx: Context, index: int, ranges: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (uint64[n]: the keys of one range that the phase `keys` has written, int64[n]: their dense rows)."""
    keys, rows = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for shard, first in shards_and_firsts(ctx):
        found, local = read_range(ctx.path("keys", shard.name, ".parquet"), index, ranges)
        keys.append(found)
        rows.append(local.astype(np.int64) + first)
    return np.concatenate(keys), np.concatenate(rows)


def rows_of_shard(ctx: Context) -> tuple[int, int]:
    """Return the dense numbers of the first row of the task's shard, and of the one behind its last."""
    assert ctx.shard is not None
    first = next(first for shard, first in shards_and_firsts(ctx) if shard.name == ctx.shard.name)
    return first, first + ctx.shard.rows


def records_of_shard(ctx: Context, phase: str, dtype: np.dtype) -> tuple[int, np.ndarray]:
    """Return (dense number of the shard's first row, the records of a phase whose `row` lies in the shard)."""
    first, stop = rows_of_shard(ctx)
    parts = [np.zeros(0, dtype)]
    for key in ctx.keys(phase):
        found = stored(ctx.path(phase, key, ".npy"))
        low, high = np.searchsorted(found["row"], [first, stop])
        parts.append(found[low:high])
    return first, np.concatenate(parts)


def text_of(ctx: Context, row: int) -> pa.ChunkedArray:
    """Return the text of one dense row, which is alive, as a column."""
    shard, first = [each for each in shards_and_firsts(ctx) if each[1] <= row][-1]
    for _, table in ctx.rows(["_row", "text"], shards=[shard], only=np.array([row - first])):
        at = np.flatnonzero(table["_row"].to_numpy() == row - first)
        if len(at):
            return table["text"].slice(int(at[0]), 1)
    raise AssertionError(f"row {row - first} of {shard.name} had a key and is gone")


def mark(row: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Return uint64[n]: one number for (row, key), to search by. Equal ones of other pairs only cost a comparison."""
    return key ^ (row.astype(np.uint64) * GOLDEN)
