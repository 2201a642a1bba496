"""The members of clusters: gathered from the records of their shards, judged, and told to the rows of each shard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.contract import Columns, Context, Removed, Result
from pipeline.errors import DataError
from stages.dedup.corpus import Corpus, Part, corpus
from stages.dedup.earlier import Judged
from stages.dedup.exchange import group_members
from stages.dedup.records import DOCUMENT, stored, stored_table
from stages.dedup.rows import locate

if TYPE_CHECKING:
    import pyarrow as pa

    from stages.dedup.keep import Verdict
    from stages.dedup.node import DedupNode

MOST_SOURCES = 300  # named in one receipt
EXAMPLES = 3  # removed documents named per source and per large cluster


@dataclass(frozen=True)
class Members:
    """Of n documents in clusters; rows are dense, and ascend inside each cluster."""

    rows: np.ndarray  # int64[n]
    starts: np.ndarray  # int64[clusters + 1]
    old: np.ndarray  # bool[n]: of an earlier corpus, and kept there
    bytes: np.ndarray  # uint64[n]
    source: np.ndarray  # uint16[n], a code of its shard
    exact: np.ndarray  # uint64[n, 2]
    signature: np.ndarray  # uint32[n, places]
    ids: Any  # an array of bytes, [n]


def keep(ctx: Context, key: str) -> Result:
    """Judge one group of clusters; a table of its rows (`.arrow`, ascending), and what the report needs."""
    import pyarrow as pa

    node: DedupNode = ctx.node  # type: ignore[assignment]
    rows = corpus(ctx)
    members = gather(ctx, rows, *group_members(ctx, key))
    verdict = node.judge(members, order_of(ctx, rows, members))
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
            "duplicate_of": pa.array(text[verdict.anchor[shown]], pa.string(), mask=~goes[shown]),
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


def gather(ctx: Context, rows: Corpus, dense: np.ndarray, starts: np.ndarray) -> Members:
    """Records of the members, in their order. Members of an earlier corpus that were removed there are left out."""
    dense, starts = _without_removed(ctx, rows, dense, starts)
    n = len(dense)
    documents = np.empty(n, DOCUMENT)
    signature = np.empty((n, ctx.node.places()), np.uint32)  # type: ignore[attr-defined]
    ids_of = []
    for part, at, local in _by_part(rows, dense):
        records = stored(part.path(ctx, "-documents.npy"))
        where = np.searchsorted(records["row"], local)
        for name in DOCUMENT.names or ():
            documents[name][at] = records[name][where]
        ids_of.append((at, records["id"][where]))
        if signature.shape[1]:
            signature[at] = stored(part.path(ctx, "-signatures.npy"))[where]
    ids = np.empty(n, f"S{max((some.dtype.itemsize for _, some in ids_of), default=1)}")
    for at, some in ids_of:
        ids[at] = some
    old = dense < rows.old
    return Members(dense, starts, old, documents["bytes"], documents["source"], documents["exact"], signature, ids)


def _by_part(rows: Corpus, dense: np.ndarray) -> Iterator[tuple[Part, np.ndarray, np.ndarray]]:
    """(part, positions in `dense` of its rows, these rows inside the shard) of every part that holds some."""
    shard, local = locate(dense, rows.first)
    order = np.argsort(shard, kind="stable")
    for at in np.split(order, np.flatnonzero(np.diff(shard[order])) + 1) if len(dense) else ():
        yield rows.parts[int(shard[at[0]])], at, local[at]


def _without_removed(
    ctx: Context, rows: Corpus, dense: np.ndarray, starts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The members that their own node has not removed, and where each cluster begins among them."""
    judged = {origin: Judged(ctx, origin) for origin in rows.earlier()}
    alive = np.ones(len(dense), bool)
    for part, at, local in _by_part(rows, dense):
        if part.old:
            alive[at] = judged[part.origin].kept(part.shard.name, local)
    if alive.all():
        return dense, starts
    sizes = np.bincount(np.repeat(np.arange(len(starts) - 1), np.diff(starts))[alive])  # a new row is in each cluster
    return dense[alive], np.concatenate([[0], np.cumsum(sizes)])


def order_of(ctx: Context, rows: Corpus, members: Members) -> np.ndarray:
    """int64[n]: the keep rule as a rank, lower stays."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rule = ctx.node.keep  # type: ignore[attr-defined]
    if rule == "first":
        return np.zeros(len(members.rows), np.int64)
    if rule == "longest":
        return -members.bytes.astype(np.int64)
    column, end = rule
    shard, local = locate(members.rows, rows.first)
    found, places = [], []
    if not ctx.has_column(column):
        raise DataError(f"{ctx.node.kind()}.keep", f"no column {column!r} in its documents", "a column that they carry")
    for i in np.unique(shard[~members.old]).tolist():  # old documents stay, whatever their rank
        at = np.flatnonzero(shard == i)
        by_row = at[np.argsort(local[at])]
        wanted = local[by_row]
        for table in rows.parts[i].tables(ctx, ["_row", column]):
            have = table["_row"].to_numpy()
            inside = np.isin(have, wanted, assume_unique=True)
            found.append(table[column].combine_chunks().filter(pa.array(inside)))
            places.append(by_row[np.searchsorted(wanted, have[inside])])
    rank = np.zeros(len(members.rows), np.int64)
    values = pa.concat_arrays(found) if found else pa.array([], pa.int64())
    order = [("value", "descending" if end == "max" else "ascending")]
    try:
        ranked = pc.rank(values, sort_keys=order, tiebreaker="dense")  # null comes last, either way
    except pa.ArrowException as err:
        raise DataError(
            f"{ctx.node.kind()}.keep", f"the column {column!r}: {err}", "numbers, strings or times"
        ) from err
    rank[np.concatenate([np.zeros(0, np.int64), *places])] = ranked.to_numpy()
    return rank


def _sources(ctx: Context, rows: Corpus, members: Members, verdict: Verdict, removed: np.ndarray):
    """({source: removed}, {source: examples}) with the names that each shard's receipt gives to its codes."""
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
    kept = dict(sorted(counts.most_common(MOST_SOURCES)))
    return kept, {name: examples[name] for name in list(kept)[:50]}


def _largest(members: Members, verdict: Verdict, goes: np.ndarray) -> list[dict]:
    """The ten largest clusters of the group."""
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
    """A removed document and the one it went for."""
    kept = verdict.anchor[at]
    return {
        "id": members.ids[at].decode(),
        "row": int(members.rows[at]),
        "kept": members.ids[kept].decode(),
        "kept_row": int(members.rows[kept]),
        "estimate": round(float(verdict.estimate[at]), 4),
    }


def row_function(ctx: Context) -> Callable[[pa.Table], Columns]:
    """The verdicts on the rows of one shard."""
    import pyarrow as pa
    import pyarrow.compute as pc

    node: DedupNode = ctx.node  # type: ignore[assignment]
    assert ctx.shard is not None
    rows = corpus(ctx)
    first = int(rows.first[[part.shard.name for part in rows.parts].index(ctx.shard.name)])
    parts = list(_slices(ctx, first, first + ctx.shard.rows))
    table = parts[0] if len(parts) == 1 else pa.concat_tables(parts).sort_by("row")
    table = table.combine_chunks()
    known = table["row"].to_numpy()
    columns = node.columns()

    def judged(batch: pa.Table) -> Columns:
        dense = batch["_row"].to_numpy() + first
        at = np.minimum(np.searchsorted(known, dense), max(len(known) - 1, 0))
        hit = known[at] == dense if len(known) else np.zeros(len(dense), bool)
        mine = table.take(pa.array(at, mask=~hit))
        added = {name: mine[verdict] for verdict, name in columns.items()}
        if node.dry_run:
            return Columns(added=added)
        gone = pc.is_valid(mine["duplicate_of"])
        reason = pc.if_else(mine["copy"], node.copy, node.near or node.copy)
        value = mine["estimate"] if node.near else mine["cluster_size"]
        limit = node.limit()
        nothing = pa.scalar(None, pa.float64())
        return Columns(
            added=added,
            removed=Removed(
                pc.if_else(gone, reason, pa.scalar(None, pa.string())),
                pc.if_else(gone, value.cast(pa.float64()), nothing),
                pc.if_else(gone, nothing if limit is None else pa.scalar(float(limit)), nothing),
            ),
        )

    return judged


def _slices(ctx: Context, first: int, stop: int) -> Iterator[pa.Table]:
    """The verdicts of every group on dense rows first..stop."""
    for key in ctx.keys("keep"):
        table = stored_table(ctx.path("keep", key, ".arrow"))
        low, high = np.searchsorted(table["row"].to_numpy(), [first, stop])
        yield table.slice(low, high - low)
