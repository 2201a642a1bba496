"""Far beyond the corpus, on one machine: the real exchange and components code over synthetic keys, with its memory.

`python -m benchmarks.dedup.scale [COUNT]` measures both, each in a process of its own (COUNT: 1e8 unless given).
`python -m benchmarks.dedup.scale components ROWS`: union-find and clusters of so many rows.
`python -m benchmarks.dedup.scale exchange KEYS FOLDER`: key files, edges range by range, components. Documents have
15 keys; of the documents, three in ten share one with another.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.dedup.measure import module
from stages.dedup.key_files import KeyFile, range_count, read_range
from stages.dedup.union_find import clusters, flatten, forest, range_edges, union

KEYS = 15
SHARD = 100_000  # documents in one key file
ALIKE = 0.3
BLOCK = 5_000_000  # edges at once


def peak() -> int:
    """Bytes, the most that were resident so far; not `ru_maxrss`, which begins with that of the parent."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def components(rows: int) -> dict[str, float]:
    """Random edges, 1.4 a row as on the Debian corpus, three rows in ten touched."""
    chance = np.random.default_rng(1)
    _warm()
    before, start = peak(), time.process_time()
    parent = forest(rows)
    touched = int(rows * ALIKE)
    for _ in range(0, int(1.4 * touched), BLOCK):
        left = chance.integers(0, touched, BLOCK).astype(np.uint32)
        union(parent, left, left + chance.integers(0, 3, BLOCK).astype(np.uint32))
    flatten(parent)
    members, _ = clusters(parent)
    most = peak()
    return {
        "rows": rows,
        "members": len(members),
        "cpu": round(time.process_time() - start, 2),
        "peak_bytes": most,
        "bytes_per_row": round((most - before) / rows, 2),
    }


def exchange(keys: int, folder: Path) -> dict[str, float]:
    documents = keys // KEYS
    ranges = range_count(documents, KEYS)
    folder.mkdir(parents=True, exist_ok=True)
    _warm()
    start = time.process_time()
    files = []
    for shard, first in enumerate(range(0, documents, SHARD)):
        chance = np.random.default_rng(shard)
        count = min(SHARD, documents - first)
        made = chance.integers(0, 1 << 64, (count, KEYS), dtype=np.uint64)
        alike = np.flatnonzero(chance.random(count) < ALIKE)
        pool = np.random.default_rng(0).integers(0, 1 << 64, max(documents // 7, 1), dtype=np.uint64)
        made[alike, 0] = chance.choice(pool, len(alike))
        file = KeyFile(ranges)
        file.add(made, np.arange(count))
        path = folder / f"{shard:05d}.parquet"
        file.write(path)
        files.append((path, first))
    written, peak_keys = time.process_time() - start, peak()
    start = time.process_time()
    parent = forest(documents)
    edges = 0
    for index in range(ranges):
        read = [read_range(path, index, ranges) for path, _ in files]
        joined = np.concatenate([key for key, _ in read])
        rows = [row + np.uint32(first) for (_, row), (_, first) in zip(read, files, strict=True)]
        del read
        found = range_edges(joined, np.concatenate(rows))
        del joined, rows
        edges += len(found)
        union(parent, found[:, 0], found[:, 1])
    flatten(parent)
    rows, starts = clusters(parent)
    return {
        "keys": documents * KEYS,
        "documents": documents,
        "ranges": ranges,
        "bytes": sum(path.stat().st_size for path, _ in files),
        "write_cpu": round(written, 1),
        "write_peak_bytes": peak_keys,
        "join_cpu": round(time.process_time() - start, 1),
        "join_peak_bytes": peak(),
        "edges": edges,
        "clusters": len(starts) - 1,
        "members": len(rows),
    }


def _warm() -> None:
    few = np.arange(2, dtype=np.uint32)
    parent = forest(2)
    union(parent, few, few)
    flatten(parent)
    range_edges(np.zeros(2, np.uint64), few)


def main(*wish: str) -> None:
    match wish:
        case ("components", rows):
            print(json.dumps(components(int(float(rows)))))
        case ("exchange", keys, folder):
            print(json.dumps(exchange(int(float(keys)), Path(folder))))
        case () | (_,):
            with tempfile.TemporaryDirectory() as scratch:
                for what in (("components", *(wish or ("1e8",))), ("exchange", *(wish or ("1e8",)), scratch)):
                    said = module("benchmarks.dedup.scale", *what, log=Path(scratch) / "log.txt").said
                    print(what[0], json.dumps(said))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:])
