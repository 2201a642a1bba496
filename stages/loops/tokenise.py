"""From the bytes of one document to the hashes of its words.

Normalised text (lower case, separators as 0) -> where words begin and end -> one hash per word. All of it lies in
scratch that stays in the first caches. Places are unsigned wherever that matters: numba compares a signed place with 0
before every access, which keeps LLVM from making vectors of a loop.
"""

import numpy as np

from stages.loops.compile import inner
from stages.loops.constants import FIRST, LANE, NEXT

U0, U1, U3, U7, U8, U16, U32, U56, U63 = (np.uint64(n) for n in (0, 1, 3, 7, 8, 16, 32, 56, 63))
B1, B2, B3, B4, B5, B6, B7 = (np.uint64(8 * n) for n in range(1, 8))
FIRST, NEXT = np.uint64(FIRST), np.uint64(NEXT)
LOW_BITS, HIGH_BITS = np.uint64(0x7F7F7F7F7F7F7F7F), np.uint64(0x8080808080808080)
GATHER = np.uint64(0x0102040810204080)  # times a number of eight bytes 0 or 1: their bits, in the highest byte
KEEP = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)  # keeps the first n bytes of eight
# The positions of the set bits of every byte, the first four and the last four as numbers of 16 bits; and how many.
_POSITIONS = [([b for b in range(8) if byte >> b & 1] + [0] * 8)[:8] for byte in range(256)]
FOUR = np.array([[sum(p[half + k] << 16 * k for k in range(4)) for p in _POSITIONS] for half in (0, 4)], np.uint64)
FIRST_FOUR, LAST_FOUR = FOUR
SET_COUNT = np.array([byte.bit_count() for byte in range(256)], np.uint64)
EIGHT_EACH = np.uint64(0x0008000800080008)


@inner
def load8(data, at):
    """Return uint64: eight bytes from any position, first byte lowest. LLVM makes one load of it."""
    p = np.uint64(at)
    return (
        np.uint64(data[p])
        | np.uint64(data[p + U1]) << B1
        | np.uint64(data[p + np.uint64(2)]) << B2
        | np.uint64(data[p + U3]) << B3
        | np.uint64(data[p + np.uint64(4)]) << B4
        | np.uint64(data[p + np.uint64(5)]) << B5
        | np.uint64(data[p + np.uint64(6)]) << B6
        | np.uint64(data[p + U7]) << B7
    )


@inner
def store8(data, at, value):
    """Write a uint64 to any position, first byte lowest. LLVM makes one store of it."""
    p = np.uint64(at)
    data[p] = np.uint8(value)
    data[p + U1] = np.uint8(value >> B1)
    data[p + np.uint64(2)] = np.uint8(value >> B2)
    data[p + U3] = np.uint8(value >> B3)
    data[p + np.uint64(4)] = np.uint8(value >> B4)
    data[p + np.uint64(5)] = np.uint8(value >> B5)
    data[p + np.uint64(6)] = np.uint8(value >> B6)
    data[p + U7] = np.uint8(value >> B7)


@inner
def store4(data, at, value):
    """Write a uint32 to any position, first byte lowest."""
    p = np.uint64(at)
    data[p] = np.uint8(value)
    data[p + U1] = np.uint8(value >> np.uint32(8))
    data[p + np.uint64(2)] = np.uint8(value >> np.uint32(16))
    data[p + U3] = np.uint8(value >> np.uint32(24))


@inner
def decode(data, p, stop, lead):
    """Return (code point, number of its bytes) at data[p], whose first byte is `lead` >= 0x80; (0, 1) for no UTF-8."""
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
def lower_lane(data, p, out, o):
    """Write 64 bytes lower-cased, separators as 0. Return their bits taken together: below 128 where all is ASCII."""
    high = np.uint8(0)
    p, o = np.uint64(p), np.uint64(o)
    for j in range(np.uint64(LANE)):
        byte = data[p + j]
        low = np.uint8(byte | np.uint8(0x20))
        letter = np.uint8(low - np.uint8(97)) < np.uint8(26)
        other = (np.uint8(byte - np.uint8(48)) < np.uint8(10)) | (byte == np.uint8(95))
        out[o + j] = low if letter else (byte if other else np.uint8(0))
        high = np.uint8(high | byte)
    return high


@inner
def ascii_run(data, p, most):
    """Return how many of the next `most` bytes, at most a lane, come before one that is not ASCII."""
    at, run, most = np.uint64(p), U0, np.uint64(most)
    while run + U8 <= most and load8(data, at + run) & HIGH_BITS == U0:
        run += U8
    while run < most and data[at + run] < 128:
        run += U1
    return np.intp(run)


@inner
def normalise(data, start, stop, utf8, flags, unspaced, out):
    """Lower-case data[start:stop] into `out`, with separators (and what is no UTF-8) as 0, and return the length."""
    p, o = start, 0
    fast = len(data) - LANE
    while p < stop:
        if p <= fast:
            high = lower_lane(data, p, out, o)
            while high < 128 and p + 2 * LANE <= stop:  # most lanes are ASCII, and need no more than this
                p += LANE
                o += LANE
                high = lower_lane(data, p, out, o)
            run = min(LANE, stop - p)
            if high >= 128:
                run = ascii_run(data, p, run)
            p += run
            o += run
            if p == stop or run == LANE:
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
def hash_rest(x, out, at, size):
    """Return the hash of a word of more than 16 bytes, from that of its first 16."""
    for done in range(U16, size, U8):
        x = (x + (load8(out, at + done) & KEEP[min(size - done, U8)])) * NEXT
        x ^= x >> U32
    return x


@inner
def hash_token(out, first, size):
    """Return the hash of the word out[first : first + size]: a multiplication and a fold for every eight bytes."""
    at, size = np.uint64(first), np.uint64(size)
    x = (load8(out, at) & KEEP[min(size, U8)]) * FIRST
    x ^= x >> U32
    x = (x + (load8(out, at + U8) & KEEP[min(max(size, U8) - U8, U8)])) * NEXT
    x ^= x >> U32
    if size > U16:  # a branch that is nearly never taken costs less than a loop that nearly never runs
        x = hash_rest(x, out, at, size)
    return x


@inner
def word_bounds(out, base, end, found, bounds):
    """Append where every word begins and ends, counted from `base`, in out[base:end]; return the number of bounds.

    `found` of them are there already: the last one is where a word began that has not ended, if it is odd. No branch
    depends on the text: eight bytes become a bit for every word character, a bound is a bit that differs from the one
    before, and a table holds the positions of the set bits of a byte.

    bounds uint8[2 * m]: numbers of 16 bits, lowest byte first
    """
    count, carry, shift = np.uint64(found), np.uint64(found & 1), U0
    for p in range(np.uint64(base), np.uint64(end), U8):
        x = load8(out, p)
        filled = (((((x & LOW_BITS) + LOW_BITS) | x) & HIGH_BITS) >> U7) * GATHER >> U56
        edges = (filled ^ ((filled << U1) | carry)) & np.uint64(255)
        carry = filled >> U7
        # Eight are written, whatever their number; what is too much is written over.
        store8(bounds, count << U1, FIRST_FOUR[edges] + shift)
        store8(bounds, (count << U1) + U8, LAST_FOUR[edges] + shift)
        shift += EIGHT_EACH
        count += SET_COUNT[edges]
    return np.intp(count)


@inner
def bound(bounds, k):
    """Return the k-th bound."""
    at = np.uint64(k) << U1
    return np.uint64(bounds[at]) | np.uint64(bounds[at + U1]) << B1


@inner
def char_tokens(out, base, end, tokens, held):
    """Append the hash of every character in out[base:end]; return how many are held."""
    for p in range(base, end):
        c = out[p]
        if c != 0 and (c & 0xC0) != 0x80:
            tokens[held] = hash_token(out, p, 1 + (c >= 0xC0) + (c >= 0xE0) + (c >= 0xF0))
            held += 1
    return held


@inner
def section_tokens(out, base, end, char, bounds, began, tokens, held):
    """Append the word hashes of out[base:end], at most a section, to tokens[:held].

    `began`: where a word began that crosses into the section, or -1. Return (number of hashes held, where a word began
    that crosses the section's end, or -1).
    """
    if char:
        return char_tokens(out, base, end, tokens, held), -1
    bounds[0] = bounds[1] = 0  # of a word that began before; its hash is made below
    found = word_bounds(out, base, end, np.intp(began >= 0), bounds)
    words, after = found >> 1, -1
    if found & 1:
        after = began if found == 1 and began >= 0 else base + np.intp(bound(bounds, found - 1))
    to, here = np.uint64(held), np.uint64(base)
    for j in range(np.uint64(words)):
        first = bound(bounds, j + j)
        tokens[to + j] = hash_token(out, here + first, bound(bounds, j + j + U1) - first)
    if began >= 0 and words:
        tokens[held] = hash_token(out, began, base + np.intp(bound(bounds, 1)) - began)
    return held + words, after
