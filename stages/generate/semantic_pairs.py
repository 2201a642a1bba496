"""The phase `pairs`: the documents of some clusters are compared, and what is near one that stays is named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.contract import ONE, Context, Result
from stages.dedup.dense import shards_and_firsts
from stages.dedup.record_files import put, stored
from stages.generate.vectors import NEAR

GROUP_MEMBERS = 100_000  # documents whose clusters are the work of one task, on average
BLOCK = 512  # documents that are compared with all kept ones at once
SHOWN = 20  # clusters in the report


@dataclass(frozen=True)
class ClusterMembers:
    """The n documents of a cluster, in order of the corpus: dense row, distance to the centre, id, unit vector."""

    row: np.ndarray
    distance: np.ndarray
    id: np.ndarray
    vector: np.ndarray


def task_keys(ctx: Context) -> Sequence[str]:
    """Return one key per group of clusters. How many there are hangs on the number of documents."""
    members = sum(ctx.result("members", shard.name).counts["members"] for shard in ctx.shards("docs"))
    return tuple(f"{group:06d}" for group in range(min(_clusters(ctx), max(1, -(-members // GROUP_MEMBERS)))))


def run(ctx: Context, key: str) -> Result:
    """Write the duplicates of some clusters by dense row (`.npy`): row, id of the kept document, cosine."""
    node: Any = ctx.node
    count, groups = _clusters(ctx), len(task_keys(ctx))
    found, most, kept = [], [], 0
    for cluster in range(int(key) * count // groups, (int(key) + 1) * count // groups):
        members = _members(ctx, cluster)
        rank = members.distance if node.keep == "nearest" else -members.distance
        order = np.argsort(rank, kind="stable")
        anchor, cosine = duplicates(members.vector[order], node.similarity)
        gone = np.flatnonzero(anchor >= 0)
        records = np.zeros(len(gone), np.dtype([("row", "<i8"), ("cosine", "<f4"), ("kept", members.id.dtype)]))
        records["row"], records["cosine"] = members.row[order[gone]], cosine[gone]
        records["kept"] = members.id[order[anchor[gone]]]
        found.append(records)
        most.append([cluster, len(order), len(gone)])
        kept += len(order) - len(gone)
    records = np.concatenate(found)
    put(ctx, ".npy", records[np.argsort(records["row"])])
    most = sorted((entry for entry in most if entry[2]), key=lambda entry: (-entry[2], entry[0]))[:SHOWN]
    return Result({"kept": kept, "near": len(records)}, {"most": most})


def duplicates(vectors: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """Return (int64[n]: the kept vector that each one is nearest to, -1 where it stays; float64[n]: their cosine).

    vectors float32[n, width], of unit length, in keep order. A vector goes where its cosine with a kept one before it
    is at least `limit`; of two as near ones the first is named. As in `assign`, the product of matrices only finds who
    may be near, since its last bits hang on how many rows it has: what is told of a pair is computed for it alone.
    """
    n = len(vectors)
    anchor, cosine = np.full(n, -1, np.int64), np.full(n, np.nan)
    kept = np.empty(n, np.int64)
    many = 0
    for start in range(0, n, BLOCK):
        block = vectors[start : start + BLOCK].astype(np.float64)
        best = np.full(len(block), -np.inf)
        for first in range(0, many, BLOCK):
            some = kept[first : min(first + BLOCK, many)]
            other = vectors[some].astype(np.float64)
            one, two = np.nonzero(block @ other.T >= limit - NEAR)
            _take(one, some[two], _cosines(block[one], other[two]), best, anchor[start : start + BLOCK])
        near = block @ block.T >= limit - NEAR
        for i in range(len(block)):
            before = np.flatnonzero(near[i, :i] & (anchor[start : start + i] < 0))
            exact = _cosines(np.repeat(block[i : i + 1], len(before), axis=0), block[before])
            _take(np.full(len(before), i), start + before, exact, best, anchor[start : start + BLOCK])
            if best[i] >= limit:
                cosine[start + i] = best[i]
            else:
                anchor[start + i] = -1
                kept[many] = start + i
                many += 1
    return anchor, cosine


def _cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return float64[p]: the product of every pair of rows."""
    return (one * other).sum(1)


def _take(one: np.ndarray, other: np.ndarray, cosine: np.ndarray, best: np.ndarray, anchor: np.ndarray) -> None:
    """Put the nearest of some pairs (one[p], other[p]) into best and anchor of `one`, where it is nearer than those."""
    order = np.lexsort((other, -cosine, one))
    one, other, cosine = one[order], other[order], cosine[order]
    first = np.flatnonzero(np.diff(one, prepend=-1) > 0)
    first = first[cosine[first] > best[one[first]]]
    best[one[first]], anchor[one[first]] = cosine[first], other[first]


def _clusters(ctx: Context) -> int:
    return len(stored(ctx.path("centres", ONE[0], ".npy", of="model")))


def _members(ctx: Context, cluster: int) -> ClusterMembers:
    """Gather the documents of one cluster from all shards."""
    row, distance, ids, vectors = [], [], [], []
    for shard, first in shards_and_firsts(ctx):
        low, high = stored(ctx.path("members", shard.name, "-bounds.npy"))[cluster : cluster + 2]
        records = stored(ctx.path("members", shard.name, ".npy"))[low:high]
        row.append(records["row"].astype(np.int64) + first)
        distance.append(records["distance"])
        ids.append(records["id"])
        vectors.append(stored(ctx.path("members", shard.name, "-vectors.npy"))[low:high])
    return ClusterMembers(*map(np.concatenate, (row, distance, ids, vectors)))


def largest(ctx: Context) -> list[Sequence[int]]:
    """Return (cluster, documents, removals) of the clusters with most removals."""
    found: Iterator[Sequence[int]] = (e for key in ctx.keys("pairs") for e in ctx.result("pairs", key).facts["most"])
    return sorted(found, key=lambda entry: (-entry[2], entry[0]))[:SHOWN]
