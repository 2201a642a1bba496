"""How much of a document repeats itself: n-grams of pieces that came before, and the most frequent one.

The two measures of Rae et al. 2021 (appendix A.1.1), in characters, as datatrove reads them, since the
customary thresholds were used with that reading:

* repeated: going through the pieces from the left, an n-gram that occurred before counts with the characters
  of its pieces and is stepped over; any other one is remembered, and the walk goes on at the next piece. So
  the first occurrence does not count, and no piece counts twice;
* top: occurrences of the most frequent n-gram times its characters, with one space between its pieces; the
  one that comes first among equals, and 0 when nothing occurs twice.

n-grams are compared piece by piece, not by a hash, so there are no false repeats. A document is looked at
only where `worth` is true: one without a repeated n-gram has no longer one either.

table, counts: int32 scratch of `table_size` places for the longest document, whose open-addressing table they hold.
"""

import numpy as np
from numba import boolean, int32, int64, void

from stages.loops.compile import inner, loop, read

_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: spreads small integers over all bits


@inner
def table_size(pieces):
    """Return the table size for a document of so many pieces: a power of two, of which at most half is used."""
    size = 16
    while size < 2 * pieces:
        size *= 2
    return size


@inner
def find(table, size, ids, start, i, n):
    """Return the slot of the n-gram at `i`: the one that holds its first occurrence, or the free one for it."""
    mask = np.uint64(size - 1)
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


@loop(void(read(int32), read(int32), read(int64), int64, boolean[::1], int64[::1], int64[::1], int32[::1]))
def repeated(ids, lengths, offsets, n, worth, out_pieces, out_chars, table):
    """Write, per document, repeated pieces to `out_pieces`, their characters to `out_chars`: int64[D], zeros before."""
    for d in range(len(offsets) - 1):
        if not worth[d]:
            continue
        start, stop = offsets[d], offsets[d + 1]
        size = table_size(stop - start)
        table[:size] = -1
        pieces = chars = 0
        i = start
        while i + n <= stop:
            slot = find(table, size, ids, start, i, n)
            if table[slot] < 0:
                table[slot] = i - start
                i += 1
                continue
            pieces += n
            for j in range(i, i + n):
                chars += lengths[j]
            i += n
        out_pieces[d], out_chars[d] = pieces, chars


@loop(void(read(int32), read(int32), read(int64), int64, boolean[::1], int64[::1], int32[::1], int32[::1]))
def top(ids, lengths, offsets, n, worth, out_chars, table, counts):
    """Write, per document, the characters of all occurrences of its most frequent n-gram: int64[D], zeros before."""
    for d in range(len(offsets) - 1):
        if not worth[d]:
            continue
        start, stop = offsets[d], offsets[d + 1]
        size = table_size(stop - start)
        table[:size] = -1
        counts[:size] = 0
        best, first = 1, start
        for i in range(start, stop - n + 1):
            slot = find(table, size, ids, start, i, n)
            if table[slot] < 0:
                table[slot] = i - start
            counts[slot] += 1
            place = start + table[slot]
            if counts[slot] > best or (counts[slot] == best and place < first):
                best, first = counts[slot], place
        if best > 1:
            chars = n - 1
            for j in range(first, first + n):
                chars += lengths[j]
            out_chars[d] = best * chars
