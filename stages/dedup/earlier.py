"""Earlier documents in an exchange: their keys are read, not joined again, and their clusters taken as they were found.

An incremental run costs its new documents and one pass over the earlier keys. Two earlier documents are in one cluster
when their own node found so; a new document joins a cluster by sharing a key with one of it. Together that is the
cluster that joining all keys at once would give.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.contract import Context
from stages.dedup.corpus import Corpus
from stages.dedup.records import stored
from stages.dedup.rows import first_rows, locate

SPARSE = 16  # places of the table per key: one in so many of the others is let through


class Known:
    """A table of the keys of new documents; a key that is not in it is not theirs."""

    def __init__(self, keys: np.ndarray) -> None:
        """keys uint64[n]."""
        bits = max(16, int(max(len(keys), 1) * SPARSE - 1).bit_length())
        # The keys of one range agree in their high bits.
        self._mask = np.uint64((1 << bits) - 1)
        self._held = np.zeros(1 << bits, bool)
        self._held[(keys & self._mask).astype(np.int64)] = True

    def may_hold(self, keys: np.ndarray) -> np.ndarray:
        """bool[m]: True for every key that was given, and for one in `SPARSE` of the others."""
        return self._held[(keys & self._mask).astype(np.int64)]


def earlier_links(ctx: Context, rows: Corpus) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(dense row, dense row): what joins the clusters that earlier nodes have found, as chains.

    An earlier node that had earlier documents itself says only which clusters its own documents are in; rows of shards
    that are not compared here are left out of the chains.
    """
    here = {part.shard.name: int(first) for part, first in zip(rows.parts, rows.first, strict=False)}
    for path_of in _earlier(ctx, rows):
        shards = json.loads(path_of("-shards.json").read_text())
        members = stored(path_of("-rows.npy")).astype(np.int64)
        starts = stored(path_of("-starts.npy"))
        part, local = locate(members, first_rows(count for _, count in shards))
        first = np.array([here.get(name, -1) for name, _ in shards], np.int64)[part]
        cluster = np.repeat(np.arange(len(starts) - 1), np.diff(starts))[first >= 0]
        dense = (first + local)[first >= 0]
        same = cluster[1:] == cluster[:-1]
        yield dense[:-1][same], dense[1:][same]


def _earlier(ctx: Context, rows: Corpus):
    """For every earlier node, from an ending to the path of its file of components."""
    for folder in dict.fromkeys(part.folder for part in rows.parts if part.folder is not None):
        yield lambda ext, at=folder: Path(at) / "data" / "components" / f"all{ext}"
    for i in range(len(getattr(ctx.node, "against", ()))):
        yield lambda ext, at=("against", i): ctx.path("components", "all", ext, of=at)
