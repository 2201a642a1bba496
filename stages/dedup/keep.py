"""The phase `keep`: one group of clusters is judged, and the verdicts are written for the rows of all shards."""

from __future__ import annotations

from collections import Counter

import numpy as np

from pipeline.contract import Context, Result
from stages.dedup.components import group_keys, group_members
from stages.dedup.corpus import Corpus, corpus, locate
from stages.dedup.members import gather, keep_order
from stages.dedup.method import Members, Method, Verdict

MAX_SOURCES = 300  # named in one receipt
EXAMPLES = 3  # removed documents named per source and per large cluster

task_keys = group_keys


def run(ctx: Context, key: str) -> Result:
    """Judge one group of clusters: a table of its new rows (`.arrow`, ascending), and what the report needs."""
    import pyarrow as pa

    node: Method = ctx.node  # type: ignore[assignment]
    rows = corpus(ctx)
    members = gather(ctx, rows, *group_members(ctx, key))
    verdict = node.judge(members, keep_order(ctx, rows, members))
    cluster = np.repeat(np.arange(len(members.starts) - 1), np.diff(members.starts))
    goes = verdict.anchor != np.arange(len(verdict.anchor))
    size = np.bincount(cluster, minlength=len(members.starts) - 1)
    if node.near is None:  # one key may hide two groups of copies: count each by itself
        size = np.bincount(verdict.anchor, minlength=len(goes))
        counted = size[verdict.anchor]
    else:
        counted = size[cluster]
    shown = np.flatnonzero((members.rows >= rows.old) & (counted > 1))
    shown = shown[np.argsort(members.rows[shown])]
    text = members.ids.astype(np.str_) if len(members.ids) else members.ids.astype("U1")
    table = pa.table(
        {
            "row": members.rows[shown],
            "duplicate_of": pa.array(
                _names(rows, members, text, shown, verdict.anchor[shown]), pa.string(), mask=~goes[shown]
            ),
            "cluster_id": pa.array(text[members.starts[cluster[shown]]], pa.string()),
            "cluster_size": counted[shown].astype(np.int32),
            "estimate": pa.array(verdict.estimate[shown], mask=~goes[shown]),
            "copy": verdict.same[shown],
        }
    )
    with ctx.create(".arrow") as path, pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    removed = np.flatnonzero(goes)
    by_source, examples = _sources(ctx, rows, members, verdict, removed)
    copies = int(verdict.same.sum())
    return Result(
        {"members": len(goes), "removed_copies": copies, "removed_near": len(removed) - copies},
        {
            "removed": by_source,
            "examples": examples,
            "sizes": np.bincount(np.log2(size[size > 1]).astype(int), minlength=1).tolist(),
            "largest": _largest(members, verdict, goes),
            "pairs": verdict.pairs.tolist(),
        },
    )


def _names(rows: Corpus, members: Members, ids: np.ndarray, at: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return the names of the kept documents, for the members at the positions `at`.

    That is the id. A file that is read twice gives two documents one id, and a document must not seem to duplicate
    itself; there the id is followed by `@`, the shard of the kept document and its row in it.
    """
    names = ids[kept]
    twins = np.flatnonzero((names == ids[at]) & (kept != at))
    if len(twins):
        shard, local = locate(members.rows[kept[twins]], rows.first)
        names = names.astype(object)
        names[twins] = [
            f"{name}@{rows.parts[part].shard.name}:{row}"
            for name, part, row in zip(names[twins], shard.tolist(), local.tolist(), strict=True)
        ]
    return names


def _sources(ctx: Context, rows: Corpus, members: Members, verdict: Verdict, removed: np.ndarray):
    """Return ({source: removed}, {source: examples}) with the names that each shard's receipt gives to its numbers."""
    shard, _ = locate(members.rows[removed], rows.first)
    pair = shard * (1 << 16) + members.source[removed]
    counts: Counter[str] = Counter()
    examples: dict[str, list] = {}
    for value, first, count in zip(*np.unique(pair, return_index=True, return_counts=True), strict=True):
        names = rows.parts[value >> 16].facts(ctx)["sources"]
        name = names[value & 0xFFFF]
        counts[name] += int(count)
        if len(examples.setdefault(name, [])) < EXAMPLES:
            examples[name].append(_example(members, verdict, int(removed[first])))
    most = dict(sorted(counts.most_common(MAX_SOURCES)))
    return most, {name: examples[name] for name in list(most)[:50]}


def _largest(members: Members, verdict: Verdict, goes: np.ndarray) -> list[dict]:
    """Return the ten largest clusters of the group."""
    sizes = np.diff(members.starts)
    found = []
    for c in np.lexsort((np.arange(len(sizes)), -sizes))[:10].tolist():
        first, stop = members.starts[c], members.starts[c + 1]
        gone = first + np.flatnonzero(goes[first:stop])
        found.append(
            {
                "size": int(stop - first),
                "removed": len(gone),
                "first": members.ids[first].decode(),
                "row": int(members.rows[first]),
                "examples": [
                    _example(members, verdict, at) for at in gone[:: max(1, len(gone) // EXAMPLES)][:EXAMPLES]
                ],
            }
        )
    return found


def _example(members: Members, verdict: Verdict, at: int) -> dict:
    """Return a removed document and the kept one that it duplicates."""
    kept = verdict.anchor[at]
    return {
        "id": members.ids[at].decode(),
        "row": int(members.rows[at]),
        "kept": members.ids[kept].decode(),
        "kept_row": int(members.rows[kept]),
        "estimate": round(float(verdict.estimate[at]), 4),
    }
