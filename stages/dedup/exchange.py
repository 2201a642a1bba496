"""The exchange: from the key files of all shards to clusters of rows.

    merge       only when files x ranges pass a million: 256 key files into one, since requests then cost most
    edges       per key range: equal keys become a spanning forest
    components  one task: the forests become clusters

Every task reads what receipts name and is a function of that, whichever worker runs it, in whatever order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from pipeline.contract import Context, Result
from pipeline.errors import DataError
from stages.dedup.components import clusters, flatten, forest, union
from stages.dedup.corpus import Corpus, corpus
from stages.dedup.earlier import Known, earlier_links
from stages.dedup.edges import range_edges
from stages.dedup.keys import range_count, read_range, write_ranges
from stages.dedup.records import save, stored
from stages.dedup.rows import row_type

MOST_REQUESTS = 1_000_000  # files x ranges; above, key files are merged first
MERGED = 256  # consecutive key files in one
CLUSTERED = 500_000  # members judged in one task: a quarter of a gigabyte of sketches


def ranges_of(ctx: Context, rows: Corpus) -> int:
    return range_count(rows.rows, ctx.node.keys_per_document())  # type: ignore[attr-defined]


def merge_keys(ctx: Context) -> Sequence[str]:
    """Keys of the phase `merge`: none while the files are few."""
    rows = corpus(ctx)
    files = len(rows.parts)
    if files * ranges_of(ctx, rows) <= MOST_REQUESTS:
        return ()
    return tuple(f"{first:07d}" for first in range(0, files, MERGED))


def merge(ctx: Context, key: str) -> Result:
    """One key file of dense rows (counted from the first of its 256) for 256 key files."""
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


def edge_keys(ctx: Context) -> Sequence[str]:
    return tuple(f"{index:06d}" for index in range(ranges_of(ctx, corpus(ctx))))


def edges(ctx: Context, key: str) -> Result:
    """The spanning forest of one key range, as dense rows.

    Of the keys of earlier documents only those are joined that a new document may have: what joins earlier documents
    with each other stands in the clusters that their nodes have found.
    """
    rows = corpus(ctx)
    index, ranges, kind = int(key), ranges_of(ctx, rows), row_type(rows.rows)
    parts: tuple[list, list] = ([np.zeros(0, np.uint64)], [np.zeros(0, kind)])
    read, known = 0, None
    for path, first in reversed(list(_key_files(ctx, rows))):  # new documents come last
        keys, local = read_range(path, index, ranges)
        read += len(keys)
        if first < rows.old:
            if known is None:  # a merged file may begin with earlier documents and end with new ones
                known = Known(np.concatenate([*parts[0], keys[local >= rows.old - first]]))
            wanted = known.among(keys)
            keys, local = keys[wanted], local[wanted]
        parts[0].append(keys)
        parts[1].append(local.astype(kind) + kind(first))
    keys = _joined(parts[0])
    found = range_edges(keys, _joined(parts[1]))
    with ctx.create(".npy") as path:
        save(path, found)
    return Result({"keys": read, "edges": len(found)})


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    """One array; the parts are given up, so that they and it are not held together for longer than the copy takes."""
    whole = np.concatenate(parts)
    parts.clear()
    return whole


def components(ctx: Context, key: str) -> Result:
    """Clusters of dense rows: `-rows.npy`, `-starts.npy`, and the shards that rows are counted through: `-shards.json`.

    Memory: 4 bytes a row, alive or not; with earlier documents 24 bytes for each that is in a cluster.
    """
    rows = corpus(ctx)
    parent = forest(rows.rows)
    for left, right in earlier_links(ctx, rows):
        union(parent, left.astype(parent.dtype), right.astype(parent.dtype))
    keys = 0
    for name in ctx.keys("edges"):
        found = np.load(ctx.path("edges", name, ".npy"))
        keys += ctx.result("edges", name).counts["keys"]
        union(parent, np.ascontiguousarray(found[:, 0]), np.ascontiguousarray(found[:, 1]))
    if keys != (expected := sum(rows.parts[i].facts(ctx)["keys"] for i in range(len(rows.parts)))):
        raise DataError(
            f"{ctx.node.kind()} edges", f"{keys} keys read", f"{expected}, as the key files have",
            "siftloom verify RUN, then run again",
        )  # fmt: skip
    flatten(parent)
    members, starts = clusters(parent)
    del parent
    if rows.old:
        members, starts = with_new_rows(members, starts, rows.old)
    for name, array in (("-rows.npy", members), ("-starts.npy", starts)):
        with ctx.create(name) as path:
            save(path, array)
    with ctx.create("-shards.json") as path:
        path.write_text(json.dumps([[part.shard.name, part.shard.rows] for part in rows.parts]))
    largest = sorted(np.diff(starts).tolist(), reverse=True)[:10]
    return Result({"clusters": len(starts) - 1, "members": len(members)}, {"largest": largest})


def with_new_rows(members: np.ndarray, starts: np.ndarray, old: int) -> tuple[np.ndarray, np.ndarray]:
    """The clusters that hold a row from `old` on: in the others nothing can go."""
    sizes = np.diff(starts)
    wanted = members[starts[1:] - 1] >= old  # members ascend inside a cluster
    return members[np.repeat(wanted, sizes)], np.concatenate([[0], np.cumsum(sizes[wanted])]).astype(np.int64)


def groups(ctx: Context) -> Sequence[str]:
    """Keys of the phases that judge clusters: a fixed number of members each, whole clusters only."""
    members = ctx.result("components", "all").counts["members"]
    return tuple(f"{group:05d}" for group in range(max(1, -(-members // CLUSTERED))))


def group_members(ctx: Context, key: str) -> tuple[np.ndarray, np.ndarray]:
    """(dense rows int64[m], starts int64[clusters + 1]) of the clusters that begin in this group."""
    starts = stored(ctx.path("components", "all", "-starts.npy"))
    group = int(key)
    first, last = np.searchsorted(starts[:-1], [group * CLUSTERED, (group + 1) * CLUSTERED])
    cuts = np.array(starts[first : last + 1])
    members = stored(ctx.path("components", "all", "-rows.npy"))
    return members[cuts[0] : cuts[-1]].astype(np.int64), cuts - cuts[0]


def _key_files(ctx: Context, rows: Corpus) -> Iterator[tuple[Path, int]]:
    """(key file, dense row that its rows are counted from)."""
    if merged := ctx.keys("merge"):
        for name in merged:
            yield ctx.path("merge", name, ".parquet"), int(rows.first[int(name)])
    else:
        for i in range(len(rows.parts)):
            yield rows.parts[i].path(ctx, ".parquet"), int(rows.first[i])
