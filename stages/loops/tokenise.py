"""From the bytes of one document to the hashes of its words, in machine code.

In scratch that stays in the first caches: lower-case and blank out separators (64 bytes at a time where the text is
ASCII, the code point table elsewhere) -> a bit mask of word characters, whose edges are the word bounds -> one hash per
word. Vector operations are LLVM vectors, which every target lowers to its own instructions.
"""

import numpy as np

from stages.loops.constants import FIRST, LANE, NEXT
from stages.loops.lanes import filled_lane, load8, lower_lane, lowest, ones, start_lane, store4
from stages.loops.machine_code import inner

U0, U1, U32 = (np.uint64(n) for n in (0, 1, 32))
DENSE = 12  # bytes of a lane that are not ASCII: with more, the whole lane is taken character by character
FIRST, NEXT = np.uint64(FIRST), np.uint64(NEXT)
KEEP = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)  # keeps the first n bytes of eight
KEEP_LOW = np.concatenate([KEEP, np.full(8, KEEP[8])])  # of a word of n <= 16 bytes: its first eight
KEEP_HIGH = np.concatenate([np.zeros(8, np.uint64), KEEP])  # and its second eight


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
    short = np.uint64(min(size, 16))
    x = (load8(out, first) & KEEP_LOW[short]) * FIRST
    x ^= x >> U32
    x = (x + (load8(out, first + 8) & KEEP_HIGH[short])) * NEXT
    x ^= x >> U32
    if size > 16:
        for at in range(16, size, 8):
            x = (x + (load8(out, first + at) & KEEP[min(size - at, 8)])) * NEXT
            x ^= x >> U32
    return x


@inner
def word_bounds(out, base, end, carry, bounds, found):
    """Append where every word begins and ends; returns how many bounds are held, and the mask's last bit."""
    count = np.uint64(found)
    for p in range(base, end, LANE):
        mask = filled_lane(out, p)
        edges = mask ^ ((mask << U1) | carry)
        carry = mask >> np.uint64(63)
        after = count + ones(edges)
        while edges != U0:
            for step in range(8):
                bounds[count + np.uint64(step)] = p + lowest(edges)
                edges &= edges - U1
            count += np.uint64(8)
        count = after
    return np.int64(count), carry


@inner
def char_tokens(out, base, end, tokens, held):
    for p in range(base, end):
        c = out[p]
        if c != 0 and (c & 0xC0) != 0x80:
            tokens[held] = hash_token(out, p, 1 + (c >= 0xC0) + (c >= 0xE0) + (c >= 0xF0))
            held += 1
    return held


@inner
def section_tokens(out, base, end, char, bounds, longs, open_ends, carry, tokens, held):
    """Append the word hashes of one section; a word that crosses its end is carried in `open_ends` and `carry`."""
    if char:
        return char_tokens(out, base, end, tokens, held), 0, carry
    found, carry = word_bounds(out, base, end, carry, bounds, open_ends)
    tokens_at, long_ones = np.uint64(held), U0
    for j in range(found >> 1):
        # Unsigned places and no branch on the length: the loop is unrolled, and half of its time is saved.
        at = np.uint64(j)
        first = bounds[at << U1]
        size = bounds[(at << U1) + U1] - first
        short = np.uint64(min(size, 16))
        x = (load8(out, first) & KEEP_LOW[short]) * FIRST
        x ^= x >> U32
        x = (x + (load8(out, first + 8) & KEEP_HIGH[short])) * NEXT
        tokens[tokens_at + at] = x ^ (x >> U32)
        longs[long_ones] = at
        long_ones += np.uint64(size > 16)
    for k in range(long_ones):
        at = longs[np.uint64(k)]
        first = bounds[at << U1]
        tokens[tokens_at + at] = hash_token(out, first, bounds[(at << U1) + U1] - first)
    bounds[0] = bounds[max(found - 1, 0)]
    return held + (found >> 1), found & 1, carry
