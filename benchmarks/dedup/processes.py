"""The floor under the Ray stage: the same kernel, exchange and files with `multiprocessing`, no engine.

`python -m benchmarks.dedup.processes FOLDER_OF_PARQUET OUT_FOLDER WORKERS`: keys per file, edges per range, components,
verdicts, then a second read with the filter and a zstd write.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stages.dedup.anchors import judge
from stages.dedup.corpus import first_rows, locate
from stages.dedup.key_files import KeyFile, range_count, read_range
from stages.dedup.union_find import clusters, flatten, forest, range_edges, union
from stages.hashing.sketch import sketch


def hashed(path: Path, out: Path, ranges: int) -> int:
    pa.set_cpu_count(1)
    file, made, first = KeyFile(ranges), [], 0
    with pq.ParquetFile(path) as source:
        for group in range(source.num_row_groups):
            of = sketch(source.read_row_group(group, columns=["text"], use_threads=False)["text"], signatures=True)
            worded = np.flatnonzero(of.words > 0)
            file.add(np.concatenate([of.keys, of.exact[:, :1]], axis=1)[worded], worded + first)
            made.append(of)
            first += len(of.words)
    file.write(out / f"{path.stem}.keys")
    np.save(out / f"{path.stem}-signatures.npy", np.concatenate([of.signatures for of in made]))
    np.save(out / f"{path.stem}-exact.npy", np.concatenate([of.exact for of in made]))
    return first


def joined(index: int, paths: list[Path], out: Path, first: np.ndarray, ranges: int) -> None:
    read = [read_range(out / f"{path.stem}.keys", index, ranges) for path in paths]
    rows = [row + np.uint32(base) for (_, row), base in zip(read, first, strict=False)]
    np.save(out / f"edges-{index}.npy", range_edges(np.concatenate([key for key, _ in read]), np.concatenate(rows)))


def judged(paths: list[Path], out: Path, first: np.ndarray, ranges: int) -> np.ndarray:
    parent = forest(int(first[-1]))
    for index in range(ranges):
        found = np.load(out / f"edges-{index}.npy")
        union(parent, found[:, 0], found[:, 1])
    flatten(parent)
    members, starts = clusters(parent)
    shard, local = locate(members, first)
    signature, exact = np.empty((len(members), 112), np.uint32), np.empty((len(members), 2), np.uint64)
    for i, path in enumerate(paths):
        at = np.flatnonzero(shard == i)
        signature[at] = np.load(out / f"{path.stem}-signatures.npy", mmap_mode="r")[local[at]]
        exact[at] = np.load(out / f"{path.stem}-exact.npy", mmap_mode="r")[local[at]]
    verdict = judge(starts, np.zeros(len(members), np.int64), signature, exact)
    kept = np.ones(int(first[-1]), bool)
    kept[members] = verdict.anchor == np.arange(len(members))
    return kept


def written(item: tuple[Path, np.ndarray], out: Path) -> int:
    pa.set_cpu_count(1)
    path, kept = item
    table = pq.read_table(path, use_threads=False).filter(pa.array(kept))
    pq.write_table(table, out / path.name, compression="zstd")
    return len(table)


def main(source: str, target: str, workers: str) -> None:
    paths, out = sorted(Path(source).glob("*.parquet")), Path(target)
    out.mkdir(parents=True, exist_ok=True)
    ranges = range_count(sum(pq.read_metadata(path).num_rows for path in paths), 15)
    with multiprocessing.get_context("spawn").Pool(int(workers)) as pool:
        first = first_rows(pool.map(partial(hashed, out=out, ranges=ranges), paths))
        pool.map(partial(joined, paths=paths, out=out, first=first, ranges=ranges), range(ranges))
        kept = judged(paths, out, first, ranges)
        cut = [(path, kept[a:b]) for path, a, b in zip(paths, first, first[1:], strict=False)]
        rows = sum(pool.map(partial(written, out=out), cut))
        pool.close()
        pool.join()
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(json.dumps({"kept": rows, "cpu": sum(u.ru_utime + u.ru_stime for u in used)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
