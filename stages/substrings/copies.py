"""The phase `copies`: the windows of one range that a corpus holds more than once, each with its first place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.contract import Context, Result
from stages.dedup.dense import range_names, shards_and_firsts, text_of
from stages.dedup.record_files import put
from stages.dedup.union_find import grouped, may_repeat
from stages.substrings.units import places
from stages.substrings.windows import ranges_of, read_windows

COPY = np.dtype([("row", "<i8"), ("first_row", "<i8"), ("at", "<u4"), ("first_at", "<u4")])
SHOWN = 10  # passages that stand most often


def task_keys(ctx: Context) -> Sequence[str]:
    """Return one key per range."""
    return range_names(ranges_of(ctx))


def run(ctx: Context, key: str) -> Result:
    """Write COPY[c], by (row, place): every window but the first of those that are equal; with `keep: none` that, too,
    with the second as its place.
    """
    node: Any = ctx.node
    keys, rows, ats = [np.zeros((0, 2), np.uint64)], [np.zeros(0, np.int64)], [np.zeros(0, np.uint32)]
    total = 0
    for shard, first in shards_and_firsts(ctx):
        files, bounds = (ctx.path("windows", shard.name, ext) for ext in (".npy", "-bounds.npy"))
        found = read_windows(files, bounds, int(key))
        total += len(found)
        keys.append(found["key"])
        rows.append(found["row"].astype(np.int64) + first)
        ats.append(found["at"])
    key2, row, at = np.concatenate(keys), np.concatenate(rows), np.concatenate(ats)
    some = may_repeat(np.ascontiguousarray(key2[:, 0]))
    key2, row, at = key2[some], row[some], at[some]
    order = in_order(key2)
    same = (key2[order[1:]] == key2[order[:-1]]).all(axis=1)
    new = np.insert(~same, 0, True)[: len(order)]
    begins = np.flatnonzero(new)
    sizes = np.diff(begins, append=len(order))
    of = np.repeat(begins, sizes)
    copy = ~new
    if node.keep == "none":
        copy = np.repeat(sizes > 1, sizes)
        of = np.where(new & copy, of + 1, of)
    copies = np.empty(int(copy.sum()), COPY)
    copies["row"], copies["at"] = row[order[copy]], at[order[copy]]
    copies["first_row"], copies["first_at"] = row[order[of[copy]]], at[order[of[copy]]]
    put(ctx, ".npy", copies[np.lexsort((copies["at"], copies["row"]))])
    top = np.lexsort((begins, -sizes))[: SHOWN * node.length]
    most = [[int(sizes[i]), int(row[order[begins[i]]]), int(at[order[begins[i]]])] for i in top if sizes[i] > 1]
    repeated = sizes[sizes > 1]
    counts = {"windows": total, "repeated": len(repeated), "copies": int(repeated.sum()) - len(repeated)}
    return Result(counts, {"most": most})


def in_order(keys: np.ndarray) -> np.ndarray:
    """Return int64[m]: an order in which equal keys are neighbours, in their own order; keys uint64[m, 2]."""
    order = grouped(np.ascontiguousarray(keys[:, 0]))
    one, other = keys[order[1:]], keys[order[:-1]]
    if ((one[:, 0] == other[:, 0]) & (one[:, 1] != other[:, 1])).any():  # equal in 64 bits by chance
        return np.lexsort((keys[:, 1], keys[:, 0]))
    return order


def most_repeated(ctx: Context) -> list[tuple[str, int]]:
    """Return (text, copies) of the passages that stand most often. Of windows that overlap the first one is shown."""
    node: Any = ctx.node
    found = [entry for key in ctx.keys("copies") for entry in ctx.result("copies", key).facts["most"]]
    shown: list[tuple[str, int]] = []
    taken: list[tuple[int, int]] = []
    for copies, row, at in sorted(found, key=lambda entry: (-entry[0], entry[1], entry[2])):
        if len(shown) < SHOWN and all(row != r or abs(at - a) >= node.length for r, a in taken):
            taken.append((row, at))
            words = places(text_of(ctx, row), node.unit)
            passage = words.data[words.first[at] : words.last[at + node.length - 1]]
            shown.append((bytes(passage).decode()[:200], copies))
    return shown
