"""Ours in one process, Parquet to a mask of rows: `python -m benchmarks.dedup.one_process TEXT.parquet OUT.npy`."""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stages.dedup.components import clusters, flatten, forest, union
from stages.dedup.edges import range_edges
from stages.dedup.keep import judge
from stages.dedup.keys import range_count, range_of
from stages.dedup.sketch import sketch, warm


def main(source: str, out: str) -> None:
    pa.set_cpu_count(1)
    warm()  # in the CPU of the whole, not in that of the stage
    start = time.process_time()
    signatures, keys, exact, rows, first, kernel = [], [], [], [], 0, 0.0
    with pq.ParquetFile(source) as file:
        for group in range(file.num_row_groups):
            text = file.read_row_group(group, columns=["text"], use_threads=False)["text"]
            before = time.process_time()
            made = sketch(text, signatures=True)
            kernel += time.process_time() - before
            worded = np.flatnonzero(made.words > 0)
            signatures.append(made.signatures)
            exact.append(made.exact)
            keys.append(np.concatenate([made.keys, made.exact[:, :1]], axis=1)[worded])
            rows.append(worded + first)
            first += len(made.words)
    stage = time.process_time() - start
    kept = np.ones(first, bool)
    parent = forest(first)
    key = np.concatenate(keys)
    row = np.repeat(np.concatenate(rows).astype(np.uint32), key.shape[1])
    key = key.ravel()
    ranges = range_count(first, 15)
    where = range_of(key, ranges)
    for q in range(ranges):
        found = range_edges(key[where == q], row[where == q])
        union(parent, np.ascontiguousarray(found[:, 0]), np.ascontiguousarray(found[:, 1]))
    flatten(parent)
    members, starts = clusters(parent)
    signature, whole = (np.concatenate(parts)[members] for parts in (signatures, exact))
    verdict = judge(starts, np.zeros(len(members), np.int64), signature, whole)
    kept[members] = verdict.anchor == np.arange(len(members))
    np.save(out, kept)
    said = {"signature_cpu": stage, "kernel_cpu": kernel, "documents": first, "removed": int((~kept).sum())}
    print(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
