"""The phase `repeats`: the anchors of one key range that a corpus holds more than once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.contract import Context, Result
from stages.dedup.dense import keys_of_range, range_names
from stages.dedup.record_files import put
from stages.dedup.union_find import may_repeat
from stages.substrings.keys import whole as ranges_of

REPEAT = np.dtype([("row", "<i8"), ("key", "<u8")])


def task_keys(ctx: Context) -> Sequence[str]:
    """Return one key per key range."""
    return range_names(ranges_of(ctx))


def run(ctx: Context, key: str) -> Result:
    """Write REPEAT[r], by dense row: (row, key) of every anchor whose key occurs again, once for each document."""
    keys, rows = keys_of_range(ctx, int(key), ranges_of(ctx))
    some = may_repeat(keys)
    repeats = np.zeros(int(some.sum()), REPEAT)
    repeats["row"], repeats["key"] = rows[some], keys[some]
    repeats = repeats[np.argsort(repeats["key"], kind="stable")]
    same = repeats["key"][1:] == repeats["key"][:-1]
    again = np.zeros(len(repeats), bool)
    again[1:] |= same
    again[:-1] |= same
    repeats = repeats[again]
    distinct = np.ones(len(repeats), bool)
    distinct[1:] = repeats[1:] != repeats[:-1]
    found = repeats[distinct]
    put(ctx, ".npy", found[np.lexsort((found["key"], found["row"]))])
    return Result({"keys": len(keys), "repeats": len(repeats)})
