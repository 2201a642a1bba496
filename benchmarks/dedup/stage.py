"""Ours as nodes of the engine on Ray, `minhash_dedup` then `write`, over Parquet in place.

`python -m benchmarks.dedup.stage JSON` with keys: paths (globs), store, cpus; against (globs of an earlier corpus);
min_jaccard; removed (a Parquet file to write: who goes, and for whom). Prints CPU from the start of Ray on
(`whole_cpu`), and without `read` and the workers that it starts (`cpu`), memory, bytes exchanged, and a digest of what
was decided.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.dedup.peer_scripts.process_tree import Watch
from siftloom import Pipeline
from siftloom import stages as s


def main(wish: dict[str, Any]) -> None:
    from pipeline.ray_runtime import session

    store, cpus = wish["store"], wish.get("cpus", 2)
    session.start(cpus, None)
    whole = Watch()
    whole.start()
    docs = s.Read(paths=tuple(wish["paths"]))
    fields: dict[str, Any] = {"min_jaccard": wish.get("min_jaccard", 0.6)}
    before = [docs]
    if wish.get("against"):
        fields["against"] = (s.MinHashDedup(docs=s.Read(paths=tuple(wish["against"]))),)
        before.append(fields["against"][0])
    Pipeline(before, name="before", store=store).run(cpus=cpus, progress=False)
    node = s.MinHashDedup(docs=docs, **fields)
    goals = [s.Write(docs=node, format="parquet")] if wish.get("write", True) else [node]
    watch, wall = Watch(), time.perf_counter()
    watch.start()
    run = Pipeline(goals, name="dedup", store=store).run(cpus=cpus, progress=False)
    watch.stop()
    whole.stop()
    wall = time.perf_counter() - wall
    (folder,) = [
        path for path in Path(store).glob("nodes/minhash_dedup-*")
        if json.loads((path / "manifest.json").read_text())["fingerprint"] == run[node].fingerprint
    ]  # fmt: skip
    if wish.get("removed"):
        pq.write_table(run[node].removed().select(["id", "duplicate_of"]), wish["removed"])
    said = {"cpu": watch.cpu, "whole_cpu": whole.cpu, "wall": wall, "memory": watch.memory, **decided(folder)}
    session.stop()
    print(json.dumps(said))


def decided(folder: Path) -> dict[str, Any]:
    """Bytes of the key files, and a digest over the verdict on every row."""
    files = sorted((folder / "data/rows").glob("*.parquet"))
    state = hashlib.sha256()
    rows = removed = 0
    for path in files:
        table = pq.read_table(path, columns=["state", "duplicate_of", "cluster_size"])
        state.update(repr(table.to_pydict()).encode())
        rows += len(table)
        removed += sum(code not in (0, None) for code in table["state"].to_pylist())
    files = [path.stat() for path in (folder / "data/keys").glob("*.parquet")]
    return {
        "digest": state.hexdigest(),
        "rows": rows,
        "removed": removed,
        "key_bytes": sum(file.st_size for file in files),
        "keys_linked": all(file.st_nlink > 1 for file in files),  # taken over from another node, not made again
    }


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
