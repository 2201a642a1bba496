"""Ours in one process, Parquet to a mask of rows: `python -m benchmarks.dedup.one_process TEXT.parquet OUT.npy`."""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stages.dedup.anchors import judge
from stages.dedup.corpus import first_rows, locate
from stages.dedup.union_find import clusters, flatten, forest, range_edges, union
from stages.hashing.sketch import sketch, warm


def main(source: str, out: str) -> None:
    pa.set_cpu_count(1)
    warm()  # in the CPU of the whole, not in that of the stage
    start = time.process_time()  # what the process has used so far is its start-up
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
    parent = forest(first)
    key = np.concatenate(keys)
    row = np.repeat(np.concatenate(rows).astype(np.uint32), key.shape[1])
    del keys, rows
    found = range_edges(key.ravel(), row)
    union(parent, found[:, 0], found[:, 1])
    flatten(parent)
    members, starts = clusters(parent)
    part, local = locate(members, first_rows(len(signature) for signature in signatures))
    signature, whole = np.empty((len(members), 112), np.uint32), np.empty((len(members), 2), np.uint64)
    for i in range(len(signatures)):
        at = np.flatnonzero(part == i)
        signature[at], whole[at] = signatures[i][local[at]], exact[i][local[at]]
    kept = np.ones(first, bool)
    verdict = judge(starts, np.zeros(len(members), np.int64), signature, whole)
    kept[members] = verdict.anchor == np.arange(len(members))
    np.save(out, kept)
    said = {
        "start_cpu": start,
        "signature_cpu": stage,
        "kernel_cpu": kernel,
        "documents": first,
        "removed": int((~kept).sum()),
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
