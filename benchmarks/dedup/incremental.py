"""What an incremental run must remove: `python -m benchmarks.dedup.incremental OLD NEW FULL.parquet MORE.parquet`.

OLD and NEW: globs of Parquet files. FULL and MORE: who went, and for whom, in a plain run over all documents and in a
run over the new ones against the old. Here all keys are joined at once, in arrays, and the old documents that their own
run kept are pinned.
"""

from __future__ import annotations

import glob
import json
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.files.sources import digest_file
from stages.dedup.anchors import judge
from stages.dedup.union_find import clusters, flatten, forest, range_edges, union
from stages.hashing.sketch import Sketches, sketch


def documents(pattern: str) -> tuple[list[str], pa.ChunkedArray]:
    """(ids as the engine gives them, texts) of files in order of their names."""
    ids, texts = [], []
    for path in sorted(glob.glob(pattern)):
        with open(path, "rb") as file:
            digest = digest_file(path, file.seek(0, 2))[:12]
        table = pq.read_table(path, columns=["text"])
        ids += [f"{digest}:{row}" for row in range(len(table))]
        texts += table["text"].chunks
    return ids, pa.chunked_array(texts)


def found(made: Sketches, gone: np.ndarray, pinned: np.ndarray) -> np.ndarray:
    """For every row the one it goes for, or itself. `gone` rows join clusters and are compared with nothing."""
    rows = np.repeat(np.arange(len(made.words), dtype=np.uint32), 15)
    keys = np.concatenate([made.keys, made.exact[:, :1]], axis=1)
    worded = np.repeat(made.words > 0, 15)
    edges = range_edges(keys.ravel()[worded], rows[worded])
    parent = forest(len(made.words))
    union(parent, edges[:, 0], edges[:, 1])
    flatten(parent)
    members, starts = clusters(parent)
    alive = ~gone[members]
    sizes = np.bincount(np.repeat(np.arange(len(starts) - 1), np.diff(starts))[alive], minlength=len(starts) - 1)
    members, starts = members[alive].astype(np.int64), np.concatenate([[0], np.cumsum(sizes[sizes > 0])])
    order = np.zeros(len(members), np.int64)
    verdict = judge(starts, order, made.signatures[members], made.exact[members], pinned=pinned[members])
    kept = np.arange(len(gone))
    kept[members] = members[verdict.anchor]
    return kept


def main(old: str, new: str, full: str, more: str) -> None:
    (old_ids, old_text), (new_ids, new_text) = documents(old), documents(new)
    ids, count = [*old_ids, *new_ids], len(old_ids)
    made = sketch(pa.chunked_array([*old_text.chunks, *new_text.chunks]), signatures=True)
    first = Sketches(made.signatures[:count], made.keys[:count], made.exact[:count], made.words[:count])
    nothing = np.zeros(count, bool)
    gone, pinned = np.zeros((2, len(ids)), bool)
    gone[:count] = found(first, nothing, nothing) != np.arange(count)
    pinned[:count] = ~gone[:count]
    kept = found(made, gone, pinned)
    goes = np.flatnonzero(kept != np.arange(len(ids)))
    expected = {(ids[row], ids[kept[row]]) for row in goes if row >= count}
    told = pq.read_table(more)
    incremental = set(zip(told["id"].to_pylist(), told["duplicate_of"].to_pylist(), strict=True))
    plain = set(pq.read_table(full, columns=["id"])["id"].to_pylist()) & set(new_ids)
    print(
        json.dumps(
            {
                "equal": incremental == expected,
                "new": len(new_ids),
                "removed": len(incremental),
                "differ": len(plain ^ {row for row, _ in incremental}),
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
