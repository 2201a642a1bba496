"""How much of a document is said again: n-grams of pieces that came before, and the most frequent one.

Two measures, both in characters of the pieces, so that white space counts nowhere:

* repeated: characters of pieces that lie in an n-gram which occurred before in the document. The first
occurrence does not
  count, and a piece counts once however many repeated n-grams it lies in (Rae et al. 2021, appendix A.1.1);
* top: occurrences of the most frequent n-gram times its characters, the longest of equally frequent ones; 0
when
  nothing occurs twice, and never more than the document.

n-grams are compared piece by piece, not by a hash, so there are no false repeats. A document is looked at
only where `worth` is true: one without a repeated n-gram has no longer one either.
"""

from __future__ import annotations

import numba
import numpy as np

_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: spreads small integers over all bits


@numba.njit(cache=True, nogil=True)
def repeated(ids, lengths, offsets, n, worth, out_pieces, out_chars):  # pragma: no cover - compiled
    """Per document, repeated pieces into `out_pieces` and their characters into `out_chars`; int64 [D], zeros
    before."""
    table = np.full(1, -1, np.int32)
    for d in range(len(offsets) - 1):
        if not worth[d]:
            continue
        start, stop = offsets[d], offsets[d + 1]
        table = _cleared(table, stop - start)
        covered = start  # pieces before this one are counted already
        pieces = chars = 0
        for i in range(start, stop - n + 1):
            slot = _find(table, ids, start, i, n)
            if table[slot] < 0:
                table[slot] = i - start
                continue
            for j in range(max(covered, i), i + n):
                pieces += 1
                chars += lengths[j]
            covered = i + n
        out_pieces[d], out_chars[d] = pieces, chars


@numba.njit(cache=True, nogil=True)
def top(ids, lengths, offsets, n, worth, out_chars):  # pragma: no cover - compiled
    """Per document, the characters of its most frequent n-gram, all occurrences; int64 [D], zeros before."""
    table = np.full(1, -1, np.int32)
    counts = np.zeros(1, np.int32)
    for d in range(len(offsets) - 1):
        if not worth[d]:
            continue
        start, stop = offsets[d], offsets[d + 1]
        table = _cleared(table, stop - start)
        if len(counts) < len(table):
            counts = np.zeros(len(table), np.int32)
        counts[: len(table)] = 0
        best = longest = whole = 0
        for i in range(start, stop):
            whole += lengths[i]
        for i in range(start, stop - n + 1):
            slot = _find(table, ids, start, i, n)
            if table[slot] < 0:
                table[slot] = i - start
            counts[slot] += 1
            if counts[slot] >= max(best, 2):
                size = 0
                for j in range(i, i + n):
                    size += lengths[j]
                longest = max(size, longest) if counts[slot] == best else size
                best = counts[slot]
        out_chars[d] = min(best * longest, whole)


@numba.njit(cache=True, nogil=True, inline="always")
def _cleared(table, pieces):  # pragma: no cover - compiled
    """An empty open-addressing table, at most half full with one entry per piece; grown, never shrunk far."""
    size = 16
    while size < 2 * pieces:
        size *= 2
    if len(table) != size:
        return np.full(size, -1, np.int32)
    table[:] = -1
    return table


@numba.njit(cache=True, nogil=True, inline="always")
def _find(table, ids, start, i, n):  # pragma: no cover - compiled
    """The slot of the n-gram at `i`: the one that holds its first occurrence, or the free one where it
    belongs."""
    mask = np.uint64(len(table) - 1)
    key = np.uint64(0)
    for j in range(i, i + n):
        key = (key ^ np.uint64(ids[j])) * _MIX
        key ^= key >> np.uint64(29)
    slot = key & mask
    while table[slot] >= 0:
        first = start + table[slot]
        same = True
        for j in range(n):
            if ids[first + j] != ids[i + j]:
                same = False
                break
        if same:
            break
        slot = (slot + np.uint64(1)) & mask
    return slot
