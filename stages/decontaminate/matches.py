"""The phase `matches`: which item is in which document, by the n-grams that few documents hold."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.contract import Context, Result, Shard, one
from stages.dedup.corpus import first_rows
from stages.dedup.record_files import put, stored

MIN_DOCUMENTS = 100  # an n-gram in so many documents or fewer is never boilerplate
SHOWN = 20

task_keys = one


def run(ctx: Context, key: str) -> Result:
    """Write `.npy`, bool[g]: the n-grams that may match, and `.parquet`: item, shard, row, hits, coverage."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    node: Any = ctx.node
    shards = ctx.shards("docs")
    documents = sum(ctx.result("hits", shard.name).counts["documents"] for shard in shards)
    frequency = np.zeros(int(np.load(ctx.path("items", "all", "-starts.npy"))[-1]), np.int64)
    for shard in shards:
        grams, documents_with = np.unique(_hits(ctx, shard)["gram"], return_counts=True)
        frequency[grams] += documents_with
    telling = frequency <= max(MIN_DOCUMENTS, node.boilerplate * documents)
    put(ctx, ".npy", telling)
    known = ctx.read_json("items")
    pairs, sizes = np.load(ctx.path("items", "all", "-pairs.npy")), np.array(known["sizes"])
    first = first_rows(s.rows for s in shards)
    rows, grams = [np.zeros(0, np.int64)], [np.zeros(0, np.uint32)]
    for shard, start in zip(shards, first.tolist(), strict=False):
        hits = _hits(ctx, shard)
        hits = hits[telling[hits["gram"]]]  # of boilerplate there may be more than of all else
        rows.append(hits["row"] + np.int64(start))
        grams.append(hits["gram"])
    dense, item, found = match(np.concatenate(rows), np.concatenate(grams), pairs, node.min_hits)
    shard = np.searchsorted(first, dense, side="right") - 1
    names = np.array([*known["names"], ""])
    table = pa.table(
        {
            "item": pa.array(names[item].tolist(), pa.string()),
            "shard": pa.array([shards[i].name for i in shard.tolist()], pa.string()),
            "row": dense - first[shard],
            "hits": found.astype(np.int32),
            "coverage": (found / np.maximum(sizes[item], 1)).astype(np.float32),
        }
    )
    with ctx.create(".parquet") as path:
        pq.write_table(table, path, compression="zstd", write_statistics=False)
    return Result(
        {"documents": documents, "contaminated": len(np.unique(dense)), "boilerplate": int((~telling).sum())},
        _facts(known, item),
    )


def _hits(ctx: Context, shard: Shard) -> np.ndarray:
    return stored(ctx.path("hits", shard.name, ".npy"))


def match(
    dense: np.ndarray, gram: np.ndarray, pairs: np.ndarray, min_hits: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (row, item, n-grams of the item in the row), all [m].

    dense, gram: both [h], n-gram gram[i] is in row dense[i]. Rows with fewer than `min_hits` n-grams are left out.
    pairs: PAIR[p], sorted by n-gram.
    """
    rows, counts = np.unique(dense, return_counts=True)
    enough = np.isin(dense, rows[counts >= min_hits])
    dense, gram = dense[enough], gram[enough]
    low, high = (np.searchsorted(pairs["gram"], gram, side) for side in ("left", "right"))
    owners = high - low
    at = np.repeat(low, owners) + np.arange(owners.sum()) - np.repeat(np.cumsum(owners) - owners, owners)
    both = np.stack([np.repeat(dense, owners), pairs["item"][at].astype(np.int64)], axis=1)
    both, found = np.unique(both.reshape(-1, 2), axis=0, return_counts=True)
    return both[:, 0], both[:, 1], found


def _facts(known: dict, item: np.ndarray) -> dict:
    """Return the items found in most documents, and how many of each set were found."""
    items, documents = np.unique(item, return_counts=True)
    order = np.lexsort((items, -documents))[:SHOWN]
    first, sets = 0, []
    for label, count, short in known["sets"]:
        inside = (items >= first) & (items < first + count)
        sets.append([label, count, int(inside.sum()), short])
        first += count
    return {"most": [[known["names"][items[i]], int(documents[i])] for i in order], "sets": sets[:200]}
