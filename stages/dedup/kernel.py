"""Signatures, band keys and exact hashes of a column of text: one pass over the Arrow buffers, in numba.

Per document, in scratch that stays in the first caches: lower-case and blank out separators (64 bytes at a
time where the text is ASCII, the code point table elsewhere) -> a bit mask of word characters, its edges
are the word bounds -> word hashes -> n-gram hashes -> minima, four permutations at a time -> band keys.
`shingles` defines every step; `kernel_numpy` is the same in array form. Vector operations are written as
LLVM vectors, which every target lowers to its own; there is no `fastmath`.
"""

import numpy as np
from numba import njit

from stages.dedup.lanes import LANE, filled_lane, load8, lower_lane, lowest, ones, store4
from stages.dedup.machine_code import JIT
from stages.dedup.shingles import BASE, FIRST, NEXT, PLACE, SPREAD, SPREAD_AGAIN

SECTION = 4096  # bytes whose words are taken at once
CHUNK = 2048  # word hashes held before they are folded in; both bound the scratch of a long document

U0, U1, U29, U32, U33 = (np.uint64(n) for n in (0, 1, 29, 32, 33))
FIRST, NEXT, BASE = np.uint64(FIRST), np.uint64(NEXT), np.uint64(BASE)
PLACE_0, PLACE_1 = PLACE
SPREAD_0, SPREAD_1 = SPREAD
AGAIN_0, AGAIN_1 = SPREAD_AGAIN
F64_1, F64_2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
F32_1, F32_2 = np.uint32(0x85EBCA6B), np.uint32(0xC2B2AE35)
KEEP = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)  # keeps the first n bytes of eight
KEEP_LOW = np.concatenate([KEEP, np.full(8, KEEP[8])])  # of a word of n <= 16 bytes: its first eight
KEEP_HIGH = np.concatenate([np.zeros(8, np.uint64), KEEP])  # and its second eight


@njit(**JIT)
def decode(data, p, stop, lead):
    """(code point, its bytes) at data[p]; (0, 1) for what is no UTF-8."""
    need = (lead >= 0xC2) + (lead >= 0xE0) + (lead >= 0xF0)
    if need == 0 or lead >= 0xF5 or p + need >= stop:
        return np.uint32(0), 1
    point = lead & np.uint32(0x3F >> need)
    good = True
    for j in range(1, need + 1):
        tail = np.uint32(data[p + j])
        good &= (tail & np.uint32(0xC0)) == 0x80
        point = np.uint32(point << np.uint32(6)) | (tail & np.uint32(0x3F))
    least = 0x80 if need == 1 else (0x800 if need == 2 else 0x10000)
    if good and point >= least and point < 0x110000:
        return point, need + 1
    return np.uint32(0), 1


@njit(**JIT)
def normalise(data, start, stop, utf8, flags, unspaced, out):
    """Lower-case data[start:stop] into `out`, separators (and what is no UTF-8) as 0; returns the length."""
    p, o = start, 0
    fast = len(data) - LANE
    while p < stop:
        if p <= fast:
            high = lower_lane(data, p, out, o)
            run = min(lowest(high), stop - p)
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
            # A script that is not ASCII goes on past its spaces; ASCII text goes back to whole lanes.
            if p >= stop or (p <= fast and data[p] < 0x80 and data[p + 1] < 0x80):
                break
    out[o : o + LANE] = 0
    return o


@njit(**JIT)
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


@njit(**JIT)
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


@njit(**JIT)
def char_tokens(out, base, end, tokens, held):
    for p in range(base, end):
        c = out[p]
        if c != 0 and (c & 0xC0) != 0x80:
            tokens[held] = hash_token(out, p, 1 + (c >= 0xC0) + (c >= 0xE0) + (c >= 0xF0))
            held += 1
    return held


@njit(**JIT)
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


@njit(**JIT)
def fold(tokens, held, seen, ngram, final, sums, hashes, mixed, a, b, minima):
    """Take `held` word hashes into minima and exact sums, `seen` words in; how many it keeps for later."""
    carried = min(seen, ngram - 1)
    h0, h1 = sums[0], sums[1]
    for i in range(carried, held):
        x = tokens[i] ^ (np.uint64(seen - carried + i + 1) * PLACE_0)
        x ^= x >> U32
        y = x * SPREAD_0
        h0 += y ^ (y >> U29)
        y = x * SPREAD_1
        h1 += y ^ (y >> U29)
    sums[0], sums[1] = h0, h1
    width = ngram
    if final and seen - carried + held < ngram:
        width = held  # a short document is one shingle of all its words
    count = held - width + 1
    if count > 0 and held > 0 and len(minima) > 0:
        permute(tokens, count, width, hashes, mixed, a, b, minima)
    keep = min(held, ngram - 1)
    for i in range(keep):
        tokens[i] = tokens[held - keep + i]
    return keep


@njit(**JIT)
def fmix32(h):
    h = np.uint32((h ^ (h >> np.uint32(16))) * F32_1)
    h = np.uint32((h ^ (h >> np.uint32(13))) * F32_2)
    return h ^ (h >> np.uint32(16))


@njit(**JIT)
def permute(tokens, count, width, hashes, mixed, a, b, minima):
    """Lower the minima by `count` shingles of `width` words; hashes, mixed: scratch."""
    if width == 5:  # the usual one, in one sweep
        for i in range(count):
            h = ((tokens[i] * BASE + tokens[i + 1]) * BASE + tokens[i + 2]) * BASE
            mixed[i] = fmix32(np.uint32(((h + tokens[i + 3]) * BASE + tokens[i + 4]) >> U32))
    else:
        for i in range(count):
            hashes[i] = tokens[i]
        for j in range(1, width):
            for i in range(count):
                hashes[i] = hashes[i] * BASE + tokens[i + j]
        for i in range(count):
            mixed[i] = fmix32(np.uint32(hashes[i] >> U32))
    padded = (count + LANE - 1) // LANE * LANE
    for i in range(count, padded):  # whole vectors only: a repeated value cannot change a minimum
        mixed[i] = mixed[0]
    for k in range(0, len(minima), 4):
        a0, a1, a2, a3 = a[k], a[k + 1], a[k + 2], a[k + 3]
        b0, b1, b2, b3 = b[k], b[k + 1], b[k + 2], b[k + 3]
        m0, m1, m2, m3 = minima[k], minima[k + 1], minima[k + 2], minima[k + 3]
        for i in range(padded):
            h = mixed[i]
            m0 = min(m0, np.uint32(h * a0 + b0))
            m1 = min(m1, np.uint32(h * a1 + b1))
            m2 = min(m2, np.uint32(h * a2 + b2))
            m3 = min(m3, np.uint32(h * a3 + b3))
        minima[k], minima[k + 1], minima[k + 2], minima[k + 3] = m0, m1, m2, m3


@njit(**JIT)
def fmix64(x):
    x = (x ^ (x >> U33)) * F64_1
    x = (x ^ (x >> U33)) * F64_2
    return x ^ (x >> U33)


@njit(**JIT)
def sketch(
    data,
    offsets,
    utf8,
    flags,
    char,
    unspaced,
    ngram,
    a,
    b,
    multipliers,
    salts,
    signatures,
    keys,
    exact,
    tokens_seen,
):
    """Fill signatures uint32[n, k], keys uint64[n, bands], exact uint64[n, 2], tokens_seen int64[n].

    An output with no columns is left out. a, b: padded with repeats to a multiple of four.
    """
    longest = 0
    for i in range(len(offsets) - 1):
        longest = max(longest, offsets[i + 1] - offsets[i])
    out = np.empty(2 * longest + 3 * LANE, np.uint8)
    bounds, longs = np.empty(SECTION + LANE, np.int64), np.empty(SECTION // 2 + LANE, np.uint64)
    tokens = np.empty(CHUNK + SECTION + ngram, np.uint64)
    hashes, mixed = np.empty(len(tokens), np.uint64), np.empty(len(tokens) + LANE, np.uint32)
    minima = np.empty(len(a), np.uint32)
    sums = np.empty(2, np.uint64)
    rows = multipliers.shape[1]
    for i in range(len(offsets) - 1):
        length = normalise(data, offsets[i], offsets[i + 1], utf8, flags, unspaced, out)
        minima[:] = np.uint32(0xFFFFFFFF)
        sums[:] = U0
        held, seen, open_ends, carry = 0, 0, 0, U0
        for base in range(0, length + 1, SECTION):
            end = min(base + SECTION, length + 1)
            held, open_ends, carry = section_tokens(out, base, end, char, bounds, longs, open_ends, carry, tokens, held)
            if held >= CHUNK:
                carried = min(seen, ngram - 1)
                keep = fold(tokens, held, seen, ngram, False, sums, hashes, mixed, a, b, minima)
                seen += held - carried
                held = keep
        carried = min(seen, ngram - 1)
        fold(tokens, held, seen, ngram, True, sums, hashes, mixed, a, b, minima)
        seen += held - carried
        tokens_seen[i] = seen
        if exact.shape[1]:
            exact[i, 0] = fmix64(sums[0] + np.uint64(seen))
            exact[i, 1] = fmix64(sums[1] + np.uint64(seen))
        for k in range(signatures.shape[1]):
            signatures[i, k] = minima[k]
        for k in range(keys.shape[1]):
            key = salts[k]
            for r in range(rows):
                key += multipliers[k, r] * np.uint64(minima[k * rows + r])
            keys[i, k] = fmix64(key)


@njit(**JIT)
def hash_bytes(data, offsets, exact):
    """exact uint64[n, 2]: 128 bits of each document's bytes as they are."""
    for i in range(len(offsets) - 1):
        start, stop = offsets[i], offsets[i + 1]
        h0 = h1 = np.uint64(stop - start)
        for at in range(start, stop, 8):
            if at + 8 <= len(data):
                word = load8(data, at) & KEEP[min(stop - at, 8)]
            else:
                word = U0
                for j in range(stop - at):
                    word |= np.uint64(data[at + j]) << np.uint64(8 * j)
            place = np.uint64((at - start) // 8 + 1)
            x = word ^ (place * PLACE_0)
            x = (x ^ (x >> U32)) * SPREAD_0
            x = (x ^ (x >> U29)) * AGAIN_0
            h0 += x ^ (x >> U32)
            y = word ^ (place * PLACE_1)
            y = (y ^ (y >> U32)) * SPREAD_1
            y = (y ^ (y >> U29)) * AGAIN_1
            h1 += y ^ (y >> U32)
        exact[i, 0], exact[i, 1] = fmix64(h0), fmix64(h1)
