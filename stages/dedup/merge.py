"""The phase `merge`: 256 key files become one. It has tasks only where files x ranges pass a million.

Every `edges` task reads its range of every key file, so the number of requests is files x ranges; above a million the
requests cost more than their bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from pipeline.contract import Context, Result
from stages.dedup.corpus import Corpus, corpus, row_type
from stages.dedup.key_files import range_count, read_range, write_ranges

MAX_REQUESTS = 1_000_000  # files x ranges
MERGED = 256  # consecutive key files in one


def task_keys(ctx: Context) -> Sequence[str]:
    """Return the number of the first key file of every task; no keys while the files are few."""
    rows = corpus(ctx)
    files = len(rows.parts)
    if files * ranges_of(ctx, rows) <= MAX_REQUESTS:
        return ()
    return tuple(f"{first:07d}" for first in range(0, files, MERGED))


def run(ctx: Context, key: str) -> Result:
    """Write one key file for 256 key files. Its rows are dense ones, counted from the first row of the first file."""
    rows = corpus(ctx)
    ranges, first = ranges_of(ctx, rows), int(key)
    stop = min(first + MERGED, len(rows.parts))
    base = int(rows.first[first])
    kind = row_type(int(rows.first[stop]) - base)

    def part(index: int) -> tuple[np.ndarray, np.ndarray]:
        pairs = [
            (keys, local.astype(kind) + kind(int(rows.first[i]) - base))
            for i in range(first, stop)
            for keys, local in [read_range(rows.parts[i].path(ctx, ".parquet"), index, ranges)]
        ]
        return np.concatenate([k for k, _ in pairs]), np.concatenate([r for _, r in pairs])

    with ctx.create(".parquet") as path:
        return Result({"keys": write_ranges(path, map(part, range(ranges)))})


def ranges_of(ctx: Context, rows: Corpus) -> int:
    """Return the number of key ranges of this node's exchange."""
    return range_count(rows.rows, ctx.node.keys_per_document())  # type: ignore[attr-defined]


def merged_files(ctx: Context, rows: Corpus) -> Iterator[tuple[Path, int]]:
    """Yield (key file, dense row from which its rows are counted): the merged files, or those of the shards."""
    if merged := ctx.keys("merge"):
        for name in merged:
            yield ctx.path("merge", name, ".parquet"), int(rows.first[int(name)])
    else:
        for i in range(len(rows.parts)):
            yield rows.parts[i].path(ctx, ".parquet"), int(rows.first[i])
