"""Earlier documents in an exchange: their keys are read but not joined again, and their clusters are taken as found.

An incremental run costs its new documents and one pass over the earlier keys. Two earlier documents are in one cluster
when their own node found so; a new document joins a cluster by sharing a key with one of it. Together that is the
cluster that joining all keys at once would give.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipeline.contract import Context
from stages.dedup.corpus import Corpus, Origin, first_rows, locate, shards_of
from stages.dedup.record_files import stored, stored_table

SLOTS_PER_KEY = 64  # of the table: one in so many of the other keys passes it


class KeyTable:
    """A bit table of the keys of new documents. A key that is not in it belongs to none of them."""

    def __init__(self, keys: np.ndarray) -> None:
        """Enter keys uint64[n]."""
        from stages.loops.clusters import mark

        bits = max(16, int(max(len(keys), 1) * SLOTS_PER_KEY - 1).bit_length())
        # By the low bits: the keys of one range agree in their high ones.
        self._mask = np.uint64((1 << bits) - 1)
        self._places = np.zeros(1 << (bits - 6), np.uint64)
        mark(keys, self._places, self._mask)

    def find(self, keys: np.ndarray) -> np.ndarray:
        """Return int64[k]: the positions in keys uint64[m] of entered keys, and of one in `SLOTS_PER_KEY` others."""
        from stages.loops.clusters import pick

        found, count = np.empty(len(keys), np.int64), np.zeros(1, np.int64)
        pick(keys, self._places, self._mask, found, count)
        return found[: int(count[0])]


def earlier_links(ctx: Context, rows: Corpus) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (dense row, dense row): the clusters that earlier nodes have found, as chains of neighbours.

    An earlier node that had earlier documents itself records only which clusters its own documents are in. Rows of
    shards that are not compared here are left out of the chains.
    """
    here = {part.shard.name: int(first) for part, first in zip(rows.parts, rows.first, strict=False)}
    for origin in rows.earlier():
        shards = shards_of(ctx, origin)
        members = stored(origin.path(ctx, "components", "all", "-rows.npy")).astype(np.int64)
        starts = stored(origin.path(ctx, "components", "all", "-starts.npy"))
        part, local = locate(members, first_rows(count for _, count in shards))
        first = np.array([here.get(name, -1) for name, _ in shards], np.int64)[part]
        cluster = np.repeat(np.arange(len(starts) - 1), np.diff(starts))[first >= 0]
        dense = (first + local)[first >= 0]
        same = cluster[1:] == cluster[:-1]
        yield dense[:-1][same], dense[1:][same]


class EarlierVerdicts:
    """What an earlier node has decided on its own documents.

    Looked up by cluster member: earlier documents are many times the new ones, and those in no cluster must not be read
    to know that they stayed.
    """

    def __init__(self, ctx: Context, origin: Origin) -> None:
        shards = shards_of(ctx, origin)
        firsts = first_rows(count for _, count in shards)
        self._first = {name: int(first) for (name, _), first in zip(shards, firsts, strict=False)}
        keys = origin.keys(ctx, "keep") if origin.removes(ctx) else ()
        self._tables = [stored_table(origin.path(ctx, "keep", key, ".arrow")) for key in keys]

    def kept(self, shard: str, rows: np.ndarray) -> np.ndarray:
        """Return bool[n]: whether each document was kept; rows int64[n] inside the shard."""
        wanted = rows + self._first[shard]
        stays = np.ones(len(rows), bool)
        for table in self._tables:
            judged = table.column("row").to_numpy()
            at = np.searchsorted(judged, wanted)
            known = np.flatnonzero(judged[np.minimum(at, len(judged) - 1)] == wanted) if len(judged) else at[:0]
            stays[known] = table.column("estimate").take(at[known]).is_null()
        return stays
