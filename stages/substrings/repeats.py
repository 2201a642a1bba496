"""The phase `repeats`: the anchors of one key range that a corpus holds more than once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.contract import Context, Result
from stages.dedup.corpus import first_rows
from stages.dedup.key_files import read_range
from stages.dedup.record_files import save, stored
from stages.dedup.union_find import may_repeat
from stages.substrings.keys import whole as ranges_of

REPEAT = np.dtype([("row", "<i8"), ("key", "<u8")])


def task_keys(ctx: Context) -> Sequence[str]:
    """Return one key per key range."""
    return tuple(f"{index:06d}" for index in range(ranges_of(ctx)))


def run(ctx: Context, key: str) -> Result:
    """Write REPEAT[r], by dense row: (row, key) of every anchor whose key occurs again, once for each document."""
    shards, index, ranges = ctx.shards("docs"), int(key), ranges_of(ctx)
    keys, rows = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for shard, first in zip(shards, first_rows(s.rows for s in shards), strict=False):
        found, local = read_range(ctx.path("keys", shard.name, ".parquet"), index, ranges)
        keys.append(found)
        rows.append(local.astype(np.int64) + first)
    all_keys, all_rows = np.concatenate(keys), np.concatenate(rows)
    some = may_repeat(all_keys)
    repeats = np.zeros(int(some.sum()), REPEAT)
    repeats["row"], repeats["key"] = all_rows[some], all_keys[some]
    repeats = repeats[np.argsort(repeats["key"], kind="stable")]
    same = repeats["key"][1:] == repeats["key"][:-1]
    again = np.zeros(len(repeats), bool)
    again[1:] |= same
    again[:-1] |= same
    repeats = repeats[again]
    distinct = np.ones(len(repeats), bool)
    distinct[1:] = repeats[1:] != repeats[:-1]
    found = repeats[distinct]
    with ctx.create(".npy") as path:
        save(path, found[np.lexsort((found["key"], found["row"]))])
    return Result({"keys": len(all_keys), "repeats": len(repeats)})


def repeats_of_shard(ctx: Context) -> tuple[int, np.ndarray]:
    """Return (dense number of the shard's first row, REPEAT[r] of the shard's documents)."""
    return slices_of_shard(ctx, "repeats", REPEAT)


def slices_of_shard(ctx: Context, phase: str, dtype: np.dtype) -> tuple[int, np.ndarray]:
    """Return (dense number of the shard's first row, the records of a phase whose `row` lies in the shard)."""
    shards = ctx.shards("docs")
    assert ctx.shard is not None
    at = [shard.name for shard in shards].index(ctx.shard.name)
    first = first_rows(s.rows for s in shards)
    parts = [np.zeros(0, dtype)]
    for key in ctx.keys(phase):
        found = stored(ctx.path(phase, key, ".npy"))
        low, high = np.searchsorted(found["row"], first[at : at + 2])
        parts.append(found[low:high])
    return int(first[at]), np.concatenate(parts)
