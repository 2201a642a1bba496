"""The phase `edges`: the equal keys of one key range become a spanning forest over dense rows.

A task is a function of what the receipts name, whichever worker runs it, in whatever order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.contract import Context, Result
from stages.dedup.corpus import corpus, row_type
from stages.dedup.dense import range_names
from stages.dedup.earlier import KeyTable
from stages.dedup.key_files import read_range
from stages.dedup.merge import merged_files, ranges_of
from stages.dedup.record_files import put
from stages.dedup.union_find import range_edges


def task_keys(ctx: Context) -> Sequence[str]:
    """Return one key per key range."""
    return range_names(ranges_of(ctx, corpus(ctx)))


def run(ctx: Context, key: str) -> Result:
    """Write the spanning forest of one key range: `.npy`, edges [e, 2] of dense rows.

    Of the keys of earlier documents only those are joined that a new document may have: which earlier documents belong
    together was found by their own nodes.
    """
    rows = corpus(ctx)
    index, ranges, kind = int(key), ranges_of(ctx, rows), row_type(rows.rows)
    parts: tuple[list, list] = ([np.zeros(0, np.uint64)], [np.zeros(0, kind)])
    read, new_keys = 0, None
    for path, first in reversed(list(merged_files(ctx, rows))):  # new documents come last
        keys, local = read_range(path, index, ranges)
        read += len(keys)
        if first < rows.old:
            if new_keys is None:  # a merged file may begin with earlier documents and end with new ones
                new_keys = KeyTable(np.concatenate([*parts[0], keys[local >= rows.old - first]]))
            wanted = new_keys.find(keys)
            keys, local = keys[wanted], local[wanted]
        parts[0].append(keys)
        parts[1].append(local.astype(kind) + kind(first))
    keys = _joined(parts[0])
    found = range_edges(keys, _joined(parts[1]))
    put(ctx, ".npy", found)
    return Result({"keys": read, "edges": len(found)})


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    """Return one array. The list is emptied, so parts and whole share memory for no longer than the copy takes."""
    whole = np.concatenate(parts)
    parts.clear()
    return whole
