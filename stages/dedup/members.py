"""The members of clusters: their records, gathered from the shards, and their order under the keep rule."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipeline.contract import Context
from pipeline.errors import DataError
from stages.dedup.corpus import Corpus, HashedShard, locate
from stages.dedup.earlier import EarlierVerdicts
from stages.dedup.method import Members
from stages.dedup.record_files import DOCUMENT, stored


def gather(ctx: Context, rows: Corpus, dense: np.ndarray, starts: np.ndarray) -> Members:
    """Return the members of clusters with their records; dense int64[n], starts int64[clusters + 1].

    Members of an earlier corpus that were removed there are left out: nothing may go for a document that is gone.
    """
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


def _by_part(rows: Corpus, dense: np.ndarray) -> Iterator[tuple[HashedShard, np.ndarray, np.ndarray]]:
    """Yield (part, positions in `dense` of its rows, these rows inside the shard) of every part that holds some."""
    shard, local = locate(dense, rows.first)
    order = np.argsort(shard, kind="stable")
    for at in np.split(order, np.flatnonzero(np.diff(shard[order])) + 1) if len(dense) else ():
        yield rows.parts[int(shard[at[0]])], at, local[at]


def _without_removed(
    ctx: Context, rows: Corpus, dense: np.ndarray, starts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the members that their own node has not removed, and where each cluster begins among them."""
    verdicts = {origin: EarlierVerdicts(ctx, origin) for origin in rows.earlier()}
    alive = np.ones(len(dense), bool)
    for part, at, local in _by_part(rows, dense):
        if part.old:
            alive[at] = verdicts[part.origin].kept(part.shard.name, local)
    if alive.all():
        return dense, starts
    sizes = np.bincount(np.repeat(np.arange(len(starts) - 1), np.diff(starts))[alive])  # a new row is in each cluster
    return dense[alive], np.concatenate([[0], np.cumsum(sizes)])


def keep_order(ctx: Context, rows: Corpus, members: Members) -> np.ndarray:
    """Return int64[n]: the rank of every member under the keep rule; lower stays.

    Raises DataError for a column that the documents do not carry, or whose values have no order.
    """
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
