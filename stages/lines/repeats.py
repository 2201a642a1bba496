"""The phase `repeats`: the units of one key range that stand often enough, and the rows in which they stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.contract import Context, Result
from stages.dedup.dense import keys_of_range, range_names, text_of
from stages.dedup.record_files import put
from stages.lines.keys import ranks
from stages.lines.keys import whole as ranges_of
from stages.lines.units import units

REPEAT = np.dtype([("row", "<i8"), ("key", "<u8"), ("first", "?"), ("spare", "V7")])
SHOWN = 10  # most frequent units of one range


def task_keys(ctx: Context) -> Sequence[str]:
    """Return one key per key range."""
    return range_names(ranges_of(ctx))


def run(ctx: Context, key: str) -> Result:
    """Write REPEAT[r], by dense row: (row, key, whether the row holds the first occurrence) of every repeated unit."""
    node: Any = ctx.node
    keys, rows = keys_of_range(ctx, int(key), ranges_of(ctx))
    by = ranks(ctx)
    order = np.lexsort((rows, keys) if by is None else (rows, by[rows], keys))
    keys, rows = keys[order], rows[order]
    new = np.ones(len(keys), bool)
    new[1:] = keys[1:] != keys[:-1]
    first = np.flatnonzero(new)
    copies = np.diff(first, append=len(keys))
    often = np.repeat(copies >= node.min_copies, copies)
    distinct = new.copy()  # a row that holds a unit twice is listed once
    distinct[1:] |= rows[1:] != rows[:-1]
    found = np.zeros(int((often & distinct).sum()), REPEAT)
    found["row"], found["key"] = rows[often & distinct], keys[often & distinct]
    found["first"] = new[often & distinct] & (node.keep == "first")
    found = found[np.lexsort((found["key"], found["row"]))]
    put(ctx, ".npy", found)
    top = np.lexsort((first, -copies))[:SHOWN]
    shown = [
        [int(copies[i]), int(rows[first[i]]), f"{keys[first[i]]:016x}"] for i in top if copies[i] >= node.min_copies
    ]
    repeated = copies[copies >= node.min_copies]
    return Result({"keys": len(keys), "repeated": len(repeated), "copies": int(repeated.sum())}, {"most": shown})


def most_repeated(ctx: Context) -> list[tuple[str, int]]:
    """Return (text, copies) of the most frequent units of the corpus."""
    found = [entry for key in ctx.keys("repeats") for entry in ctx.result("repeats", key).facts["most"]]
    found = sorted(found, key=lambda entry: (-entry[0], entry[1], entry[2]))[:SHOWN]
    return [(_text(ctx, row, int(key, 16)), copies) for copies, row, key in found]


def _text(ctx: Context, row: int, key: int) -> str:
    of = units(ctx, text_of(ctx, row))
    return of.text[int(np.flatnonzero(of.key == np.uint64(key))[0])].as_py().strip()[:200]
