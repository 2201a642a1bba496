"""The phase `components`: the forests of all key ranges become clusters of dense rows, in one task."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from pipeline.contract import Context, Result, one
from pipeline.errors import DataError
from stages.dedup.corpus import corpus
from stages.dedup.earlier import earlier_links
from stages.dedup.record_files import put, stored
from stages.dedup.union_find import clusters, flatten, forest, union

GROUP_MEMBERS = 500_000  # members judged in one task: a quarter of a gigabyte of signatures

task_keys = one


def run(ctx: Context, key: str) -> Result:
    """Write the clusters: `-rows.npy`, `-starts.npy`, and `-shards.json`, the shards in whose order rows are counted.

    Memory: 4 bytes a row, alive or not; with earlier documents 24 bytes for each of them that is in a cluster. Raises
    DataError when the forests were made from fewer keys than the key files hold.
    """
    rows = corpus(ctx)
    parent = forest(rows.rows)
    for left, right in earlier_links(ctx, rows):
        union(parent, left, right)
    keys = 0
    for name in ctx.keys("edges"):
        found = stored(ctx.path("edges", name, ".npy"))
        keys += ctx.result("edges", name).counts["keys"]
        union(parent, found[:, 0], found[:, 1])
    if keys != (expected := sum(part.facts(ctx)["keys"] for part in rows.parts)):
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
        put(ctx, name, array)
    with ctx.create("-shards.json") as path:
        path.write_text(json.dumps([[part.shard.name, part.shard.rows] for part in rows.parts]))
    largest = sorted(np.diff(starts).tolist(), reverse=True)[:10]
    return Result({"clusters": len(starts) - 1, "members": len(members)}, {"largest": largest})


def with_new_rows(members: np.ndarray, starts: np.ndarray, old: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the clusters that hold a row from `old` on. In the others nothing can be removed."""
    sizes = np.diff(starts)
    wanted = members[starts[1:] - 1] >= old  # members ascend inside a cluster
    return members[np.repeat(wanted, sizes)], np.concatenate([[0], np.cumsum(sizes[wanted])]).astype(np.int64)


def group_keys(ctx: Context) -> Sequence[str]:
    """Return the keys of the groups of clusters. A group has a fixed number of members, in whole clusters."""
    members = ctx.result("components", "all").counts["members"]
    return tuple(f"{group:05d}" for group in range(max(1, -(-members // GROUP_MEMBERS))))


def group_members(ctx: Context, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (dense rows int64[m], starts int64[clusters + 1]) of the clusters that begin in this group."""
    starts = stored(ctx.path("components", "all", "-starts.npy"))
    group = int(key)
    first, last = np.searchsorted(starts[:-1], [group * GROUP_MEMBERS, (group + 1) * GROUP_MEMBERS])
    bounds = np.array(starts[first : last + 1])
    members = stored(ctx.path("components", "all", "-rows.npy"))
    return members[bounds[0] : bounds[-1]].astype(np.int64), bounds - bounds[0]
