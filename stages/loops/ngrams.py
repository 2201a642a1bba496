"""Repetition in a document: n-grams that came before, and the most frequent one.

The two measures of Rae et al. 2021 (appendix A.1.1), in characters, as the customary thresholds were used with them:

* repeated: going through the pieces from the left, an n-gram that occurred before counts with the characters of its
  pieces and is stepped over; any other one is remembered, and the walk goes on at the next piece;
* top: occurrences of the most frequent n-gram times its characters, with one space between its words where a piece is
  a word (characters that stand for themselves have none); the first one among equals, 0 when nothing occurs twice.

RedPajama-v2 counts both otherwise: no spaces in the most frequent one, and as repeated every piece that lies in an
n-gram which occurs twice, the first occurrence too, each piece once.

An n-gram occurs twice only where both of its (n-1)-grams do. So the places that are left to compare shrink with n, and
an n-gram is compared as a pair of numbers (where its two (n-1)-grams stood first): exactly, without a hash of words.
"""

import numpy as np
from numba import boolean, float64, int32, int64, uint64, void

from stages.loops.compile import inner, loop, read
from stages.loops.cuts import HASHES, MIX, PLACES, TEXT, U1, U29, U32, finished

BYTE = np.uint64(8)


@inner
def places(entries):
    """A power of two, at least twice the entries: the size of a table for them."""
    size = 16
    while size < 2 * entries:
        size *= 2
    return size


@inner
def repeated_words(words, start, many, table, count, at, kind):
    """The places of words that occur twice, and where each stood first; how many places."""
    mask = np.uint64(places(many) - 1)
    table[: np.int64(mask) + 1] = -1
    for i in range(many):
        slot = words[start + i] & mask
        while table[slot] >= 0 and words[start + table[slot]] != words[start + i]:
            slot = (slot + U1) & mask
        if table[slot] < 0:
            table[slot] = i
            count[i] = 0
        kind[i] = table[slot]
        count[table[slot]] += 1
    left = 0
    for i in range(many):
        if count[kind[i]] > 1:
            at[left], kind[left] = i, kind[i]
            left += 1
    return left


@inner
def longer(left, table, count, at, kind, next_at, next_kind):
    """From the places of repeated n-grams to those of repeated (n+1)-grams, and where each stood first; how many."""
    mask = np.uint64(places(left) - 1)
    table[: np.int64(mask) + 1] = -1
    pairs = 0
    for i in range(left - 1):
        if at[i + 1] != at[i] + 1:
            continue
        one, two = kind[i], kind[i + 1]
        slot = finished(((np.uint64(one) << U32) | np.uint64(two)) * MIX) & mask
        while table[slot] >= 0 and (kind[table[slot]] != one or kind[table[slot] + 1] != two):
            slot = (slot + U1) & mask
        if table[slot] < 0:
            table[slot] = i
            count[at[i]] = 0
        next_at[pairs], next_kind[pairs] = at[i], at[table[slot]]
        count[next_kind[pairs]] += 1
        pairs += 1
    more = 0
    for i in range(pairs):
        if count[next_kind[i]] > 1:
            next_at[more], next_kind[more] = next_at[i], next_kind[i]
            more += 1
    return more


@inner
def most(left, n, count, at, kind, sums, spaces):
    """Characters of all occurrences of the most frequent n-gram; `spaces` of them stand between its pieces."""
    best, first = 0, 0
    for i in range(left):
        if at[i] == kind[i] and count[at[i]] > best:  # its first place; places ascend, so the first among equals wins
            best, first = count[at[i]], at[i]
    return best * (sums[first + n] - sums[first] + spaces)


@inner
def again(left, n, seen, at, kind, sums):
    """Characters in n-grams that came before."""
    chars, free = 0, 0
    for i in range(left):
        if at[i] < free:
            continue
        if seen[kind[i]] == n:
            chars += sums[at[i] + n] - sums[at[i]]
            free = at[i] + n
        else:
            seen[kind[i]] = n
    return chars


@inner
def within(left, n, at, sums):
    """Characters in n-grams that occur more than once, each piece counted once."""
    chars, free = 0, 0
    for i in range(left):
        chars += sums[at[i] + n] - sums[max(at[i], free)]
        free = at[i] + n
    return chars


@loop(
    void(
        HASHES,
        read(int32),
        PLACES,
        PLACES,
        PLACES,
        PLACES,
        PLACES,
        boolean,
        int64[:, ::1],
        int64[:, ::1],
        *(int32[::1],) * 7,
        int64[::1],
    )
)
def ngrams(
    words, lengths, starts, stops, steps, tops, dups, redpajama, top_chars, dup_chars, table, count, seen, at, kind,
    next_at, next_kind, sums,
):  # fmt: skip
    """Characters in the most frequent n-gram, int64 [D, len(tops)], and in repeated ones, int64 [D, len(dups)].

    words: uint64, equal for equal words. steps: int64 [D], pieces of a document that make one word (an n-gram of words
    has n * step pieces). tops, dups: the values of n, ascending. redpajama: count as RedPajama-v2 does. From `table`
    on, scratch for the longest document: of `table` its `places`, of the others its words, of `sums` one more.
    """
    for d in range(len(starts)):
        start, many, step = starts[d], stops[d] - starts[d], steps[d]
        for k in range(len(tops)):
            top_chars[d, k] = 0
        for k in range(len(dups)):
            dup_chars[d, k] = 0
        sums[0] = 0
        for i in range(many):
            sums[i + 1] = sums[i] + lengths[start + i]
        left = repeated_words(words, start, many, table, count, at, kind)
        seen[:many] = 0
        n = 1
        last = max(tops[len(tops) - 1], dups[len(dups) - 1]) * step
        while left and n < last:
            n += 1
            left = longer(left, table, count, at, kind, next_at, next_kind)
            at, kind, next_at, next_kind = next_at, next_kind, at, kind
            if left and n % step == 0:
                for k in range(len(tops)):
                    if tops[k] * step == n:
                        spaces = 0 if redpajama or step != 1 else n - 1
                        top_chars[d, k] = most(left, n, count, at, kind, sums, spaces)
                for k in range(len(dups)):
                    if dups[k] * step == n:
                        repeated = within(left, n, at, sums) if redpajama else again(left, n, seen, at, kind, sums)
                        dup_chars[d, k] = repeated


@inner
def hashed(data, start, stop):
    """64 bits of a run of bytes."""
    h = np.uint64(stop - start)
    at = start
    while at + 8 <= stop:
        word = np.uint64(0)
        for j in range(8):
            word |= np.uint64(data[at + j]) << (BYTE * np.uint64(j))
        h = (h ^ word) * MIX
        h ^= h >> U32
        at += 8
    while at < stop:
        h = (h ^ np.uint64(data[at])) * MIX
        h ^= h >> U29
        at += 1
    return finished(h)


@loop(int64(TEXT, read(int64, 2), PLACES, PLACES, boolean, uint64[::1], int64[::1], read(int32, 2), int64[::1]))
def pieces(data, line_bytes, starts, stops, joined, hashes, lengths, line_chars, piece_starts):
    """Lines (`joined` false) or paragraphs of documents as hashes and lengths; how many pieces. Blank lines are none.

    A paragraph is a run of lines without a blank one between them, from its first character to its last.
    """
    n = 0
    for d in range(len(starts)):
        piece_starts[d] = n
        i = starts[d]
        while i < stops[d]:
            if line_chars[i, 5] < 0:
                i += 1
                continue
            first, chars = i, np.int64(line_chars[i, 1])
            i += 1
            while joined and i < stops[d] and line_chars[i, 5] >= 0:
                i += 1
            if i - first > 1:
                chars = 0
                at = line_bytes[first, 2]
                while at < line_bytes[i - 1, 3]:
                    chars += (data[at] & 0xC0) != 0x80
                    at += 1
            hashes[n], lengths[n] = hashed(data, line_bytes[first, 2], line_bytes[i - 1, 3]), chars
            n += 1
    piece_starts[len(starts)] = n
    return n


@loop(void(HASHES, read(int64), PLACES, PLACES, int64[::1], int64[::1], uint64[::1]))
def copies(hashes, lengths, starts, stops, found, chars, table):
    """How many pieces of a document stood before in it, int64 [D], and their characters. table: scratch, `places`."""
    for d in range(len(starts)):
        mask = np.uint64(places(stops[d] - starts[d]) - 1)
        table[: np.int64(mask) + 1] = 0
        found[d] = chars[d] = 0
        for i in range(starts[d], stops[d]):
            slot = hashes[i] & mask
            while table[slot] and table[slot] != hashes[i]:
                slot = (slot + U1) & mask
            if table[slot]:
                found[d] += 1
                chars[d] += lengths[i]
            table[slot] = hashes[i]


@loop(void(HASHES, PLACES, PLACES, int64[::1], float64[::1], int32[::1], int32[::1], int64[::1]))
def entropy(words, starts, stops, distinct, nats, table, many, with_count):
    """Different words of each document, int64 [D], and the entropy of their distribution, float64 [D, nats].

    The sum runs over counts and not over words, in their order, so that it depends on nothing else. From `table` on,
    scratch for the longest document: its `places`, its words, and one more, which are 0.
    """
    for d in range(len(starts)):
        start, size = starts[d], stops[d] - starts[d]
        mask = np.uint64(places(size) - 1)
        table[: np.int64(mask) + 1] = -1
        found = 0
        for i in range(size):
            slot = words[start + i] & mask
            while table[slot] >= 0 and words[start + table[slot]] != words[start + i]:
                slot = (slot + U1) & mask
            if table[slot] < 0:
                table[slot] = i
                many[i] = 0
                found += 1
            many[table[slot]] += 1
            if table[slot] != i:
                many[i] = 0
        for i in range(size):
            with_count[many[i]] += 1
        total = 0.0
        for k in range(1, size + 1):
            if with_count[k]:
                total -= with_count[k] * (k / size) * np.log(k / size)
            with_count[k] = 0
        with_count[0] = 0
        distinct[d], nats[d] = found, total
