"""Copies of one shard joined to spans of words, and the documents in which these stand first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.contract import Context
from stages.dedup.corpus import first_rows, locate
from stages.dedup.dense import records_of_shard
from stages.dedup.record_files import stored
from stages.substrings.copies import COPY


@dataclass(frozen=True)
class CopiedSpans:
    """The s spans of a shard that are copies, in order of (row, place).

    row          int64[s]: row in the shard
    start, stop  int64[s]: the first word, and the one behind the last
    origin       string[s]: the id of the document where the span's beginning stands first
    origin_at    int64[s]: and the number of its word there
    """

    row: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    origin: np.ndarray
    origin_at: np.ndarray


def spans_of_shard(ctx: Context) -> CopiedSpans:
    """Return the spans of words of the shard that stand earlier in the corpus; with `keep: none` elsewhere in it.

    A span ends where the next word stands first in another place. A text that goes on as it began (a row of dots, a
    refrain) is a copy of itself, a few words before. Of such a copy only that counts which lies behind the window that
    it repeats, so the first window stays.
    """
    node: Any = ctx.node
    base, copies = records_of_shard(ctx, "copies", COPY)
    row, from_row, length = copies["row"], copies["first_row"], node.length
    at, from_at = copies["at"].astype(np.int64), copies["first_at"].astype(np.int64)
    start, shift = at.copy(), from_at - at
    if node.keep == "first":
        again = (from_row == row) & (shift > -length)
        start[again], shift[again] = from_at[again] + length, -length
    order = np.lexsort((start, row))
    row, from_row, start, stop, shift = row[order], from_row[order], start[order], (at + length)[order], shift[order]
    # What a window adds to those before it. Places of one document lie behind those of all before.
    line = np.cumsum(np.diff(row, prepend=row[:1]) > 0) * (int(stop.max(initial=0)) + 1)
    reached = np.maximum.accumulate(np.concatenate([[0], stop + line]))[:-1]
    start = np.maximum(start, reached - line)
    adds = start < stop
    row, from_row, start, stop, shift = row[adds], from_row[adds], start[adds], stop[adds], shift[adds]
    new = np.ones(len(row), bool)
    new[1:] = (row[1:] > row[:-1]) | (start[1:] > stop[:-1])
    new[1:] |= (from_row[1:] != from_row[:-1]) | (shift[1:] != shift[:-1])
    head = np.flatnonzero(new)
    ends = np.append(head[1:], len(row))[: len(head)] - 1
    origin = _names(ctx, from_row[head], row[head])
    return CopiedSpans(row[head] - base, start[head], stop[ends], origin, (start + shift)[head])


def _names(ctx: Context, rows: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Return the ids of dense rows. A file that is read twice gives two documents one id; there the id is followed by
    `@`, the shard and the row in it, so that a document does not seem to be its own copy.
    """
    shards = ctx.shards("docs")
    first = first_rows(s.rows for s in shards)
    wanted, back = np.unique(np.concatenate([rows, own]), return_inverse=True)
    names = np.empty(len(wanted), object)
    shard, local = locate(wanted, first)
    for i in np.unique(shard).tolist():
        here = np.flatnonzero(shard == i)
        found = stored(ctx.path("keys", shards[i].name, "-ids.npy"))
        names[here] = found["id"][np.searchsorted(found["row"], local[here])].astype(np.str_)
    for_row, for_own = names[back[: len(rows)]], names[back[len(rows) :]]
    for i in np.flatnonzero((for_row == for_own) & (rows != own)).tolist():
        at = back[i]
        for_row[i] = f"{for_row[i]}@{shards[int(shard[at])].name}:{local[at]}"
    return for_row
