"""From the bytes of one document to the hashes of its words, in machine code.

In scratch that stays in the first caches: lower-case and blank out separators (64 bytes at a time where the text is
ASCII, the code point table elsewhere) -> a bit mask of word characters, whose edges are the word bounds -> one hash per
word. Vector operations are LLVM vectors, which every target lowers to its own instructions.
"""

import numpy as np

from stages.loops.constants import EIGHT, FIRST, LANE, NEXT
from stages.loops.lanes import (
    filled_lane,
    hash_words,
    load8,
    lower_lane,
    lowest,
    ones,
    start_lane,
    store4,
    unpack,
)
from stages.loops.machine_code import inner

U0, U1, U32 = (np.uint64(n) for n in (0, 1, 32))
DENSE = 12  # bytes of a lane that are not ASCII: with more, the whole lane is taken character by character
FIRST, NEXT = np.uint64(FIRST), np.uint64(NEXT)
KEEP = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)  # keeps the first n bytes of eight
# The places of the set bits of every byte, eight to a byte.
SET_BITS = np.array([([b for b in range(8) if byte >> b & 1] + [0] * 8)[:8] for byte in range(256)], np.uint8).ravel()


@inner
def decode(data, p, stop, lead):
    """(code point, its bytes) at data[p], whose first byte is `lead` >= 0x80; (0, 1) for what is no UTF-8."""
    left = stop - p
    if lead < 0xE0:
        if lead >= 0xC2 and left > 1:
            one = np.uint32(data[p + 1])
            if one & 0xC0 == 0x80:
                return np.uint32(((lead & 0x1F) << 6) | (one & 0x3F)), 2
    elif lead < 0xF0:
        if left > 2:
            one, two = np.uint32(data[p + 1]), np.uint32(data[p + 2])
            point = np.uint32(((lead & 0xF) << 12) | ((one & 0x3F) << 6) | (two & 0x3F))
            if one & 0xC0 == 0x80 and two & 0xC0 == 0x80 and point >= 0x800:
                return point, 3
    elif lead < 0xF5 and left > 3:
        one, two, three = np.uint32(data[p + 1]), np.uint32(data[p + 2]), np.uint32(data[p + 3])
        point = np.uint32(((lead & 0x7) << 18) | ((one & 0x3F) << 12) | ((two & 0x3F) << 6) | (three & 0x3F))
        if one & 0xC0 == 0x80 and two & 0xC0 == 0x80 and three & 0xC0 == 0x80 and 0x10000 <= point < 0x110000:
            return point, 4
    return np.uint32(0), 1


@inner
def other_lane(data, p, starts, utf8, flags, unspaced, out, o):
    """Up to 64 bytes that are not ASCII, but for the last character that begins in them; (where that is, o).

    `starts` says where characters begin, so no character waits for the length of the one before it. Bytes that go on
    where nothing began, or further than was begun, are separators.
    """
    at = lowest(starts)
    if at > 0:
        store4(out, o, np.uint32(0))
        o += 1
    starts &= starts - U1
    while starts != U0:
        after = lowest(starts)
        starts &= starts - U1
        word = np.int64(load8(data, p + at))
        lead, one, two = word & 0xFF, (word >> 8) & 0x3F, (word >> 16) & 0x3F
        size, point = 1, np.uint32(lead)
        if lead >= 0xC0:
            size, point, least = 2, np.uint32(((lead & 0x1F) << 6) | one), 0x80
            if lead >= 0xE0:
                size, point, least = 3, np.uint32(((lead & 0xF) << 12) | (one << 6) | two), 0x800
            if point < least or after - at < size:
                point = np.uint32(0)
            if lead >= 0xF0:
                point, size = decode(data, p + at, p + after, np.uint32(lead))
        flag = flags[point]
        alone = flag & unspaced
        if alone and o > 0 and out[o - 1] != 0:
            store4(out, o, np.uint32(0))
            o += 1
        store4(out, o, utf8[point])
        o += flag & 7
        if alone or after - at != size:
            store4(out, o, np.uint32(0))
            o += 1
        at = after
    return p + at, o


@inner
def normalise(data, start, stop, utf8, flags, unspaced, out):
    """Lower-case data[start:stop] into `out`, separators (and what is no UTF-8) as 0; returns the length."""
    p, o = start, 0
    fast = len(data) - LANE
    while p < stop:
        if p <= fast:
            high = lower_lane(data, p, out, o)
            while high == U0 and p + 2 * LANE <= stop:  # most lanes are ASCII, and need no more than this
                p += LANE
                o += LANE
                high = lower_lane(data, p, out, o)
            run = min(lowest(high), stop - p)
            if ones(high) > DENSE and p + LANE <= min(stop, fast):
                starts = start_lane(data, p)
                if starts & (starts - U1) != U0:
                    p, o = other_lane(data, p, starts, utf8, flags, unspaced, out, o)
                    continue
            p += run
            o += run
            if run == LANE or p == stop:
                continue
        while True:
            c = np.uint32(data[p])
            size = 1
            if c >= 0x80:
                c, size = decode(data, p, stop, c)
            p += size
            flag = flags[c]
            alone = flag & unspaced
            if alone and o > 0 and out[o - 1] != 0:
                out[o] = 0
                o += 1
            store4(out, o, utf8[c])
            o += flag & 7
            if alone:
                out[o] = 0
                o += 1
            # A few letters that are not ASCII, or one; then back to whole lanes.
            if p >= stop or (p <= fast and data[p] < 0x80 and data[p + 1] < 0x80):
                break
    out[o : o + LANE] = 0
    return o


@inner
def hash_token(out, first, size):
    x = (load8(out, first) & KEEP[min(size, 8)]) * FIRST
    x ^= x >> U32
    x = (x + (load8(out, first + 8) & KEEP[min(max(size - 8, 0), 8)])) * NEXT
    x ^= x >> U32
    return hash_rest(x, out, first, size)


@inner
def hash_rest(x, out, first, size):
    """The hash of a word of more than 16 bytes, from that of its first 16; of another, x."""
    for at in range(16, size, 8):
        x = (x + (load8(out, first + at) & KEEP[min(size - at, 8)])) * NEXT
        x ^= x >> U32
    return x


@inner
def word_bounds(out, base, end, found, bounds):
    """Append where every word begins and ends, counted from `base`, in out[base:end]; how many bounds that makes.

    `found` of them are there already: the last one is where a word began that has not ended, if it is odd.
    """
    count, carry = np.uint64(found), np.uint64(found & 1)
    for p in range(base, end, LANE):
        mask = filled_lane(out, p)
        edges = mask ^ ((mask << U1) | carry)
        carry = mask >> np.uint64(63)
        for step in range(0, LANE, 8):
            byte = (edges >> np.uint64(step)) & np.uint64(255)
            unpack(SET_BITS, np.intp(byte), p - base + step, bounds, np.intp(count))
            count += ones(byte)
    return np.intp(count)


@inner
def char_tokens(out, base, end, tokens, held):
    for p in range(base, end):
        c = out[p]
        if c != 0 and (c & 0xC0) != 0x80:
            tokens[held] = hash_token(out, p, 1 + (c >= 0xC0) + (c >= 0xE0) + (c >= 0xF0))
            held += 1
    return held


@inner
def section_tokens(out, base, end, char, bounds, longs, began, tokens, held):
    """Append the word hashes of out[base:end], at most a section; (how many are held, where a word began that crosses
    its end, or -1).

    `began`: where a word began that crosses into it, or -1.
    """
    if char:
        return char_tokens(out, base, end, tokens, held), -1
    bounds[0] = 0  # of a word that began before; its hash is made below
    found = word_bounds(out, base, end, np.intp(began >= 0), bounds)
    words, after = found >> 1, -1
    if found & 1:
        after = began if found == 1 and began >= 0 else base + bounds[found - 1]
    for j in range(2 * words, 2 * (words + EIGHT)):
        bounds[j] = j & 1  # the last eight words may be fewer
    # No branch on the length of a word: the long ones are noted, and go on from their first sixteen bytes.
    long_ones = U0
    for at in range(0, words, EIGHT):
        longer = hash_words(out, base, bounds, 2 * at, tokens, held + at)
        unpack(SET_BITS, longer, at, longs, np.intp(long_ones))
        long_ones += ones(np.uint64(longer))
    for k in range(np.intp(long_ones)):
        at = np.intp(longs[k])
        first = np.intp(bounds[2 * at])
        size = np.intp(bounds[2 * at + 1]) - first
        tokens[held + at] = hash_rest(tokens[held + at], out, base + first, size)
    if began >= 0 and words:
        tokens[held] = hash_token(out, began, base + np.intp(bounds[1]) - began)
    return held + words, after
