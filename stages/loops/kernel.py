"""Signatures, band keys and exact hashes of a column of text: one pass over the Arrow buffers, in machine code.

`tokenise` makes word hashes; here they become n-gram hashes -> minima, 64 permutations at a time -> band keys.
`stages.dedup.shingles` defines every step; `stages.dedup.kernel_numpy` is the same in array form.
"""

import numpy as np

from stages.loops.constants import BASE, CHUNK, PLACE, PLACES, SECTION, SPREAD, SPREAD_AGAIN
from stages.loops.lanes import load8, lowers
from stages.loops.machine_code import inner
from stages.loops.tokenise import KEEP, U0, U1, U32, normalise, section_tokens

U29, U33 = np.uint64(29), np.uint64(33)
BASE = np.uint64(BASE)
PLACE_0, PLACE_1 = PLACE
SPREAD_0, SPREAD_1 = SPREAD
AGAIN_0, AGAIN_1 = SPREAD_AGAIN
F64_1, F64_2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
F32_1, F32_2 = np.uint32(0x85EBCA6B), np.uint32(0xC2B2AE35)
lower_one, lower_two, lower_three, lower_four = (lowers(vectors) for vectors in range(1, 5))


@inner
def fold(tokens, held, seen, ngram, final, sums, hashes, mixed, a, b, minima):
    """Take `held` word hashes into minima and exact sums, `seen` words in; how many it keeps for later."""
    carried = min(seen, ngram - 1)
    h0, h1 = sums[0], sums[1]
    first, before = np.uint64(carried), np.uint64(seen)
    for i in range(held - carried):
        at = np.uint64(i)  # numba looks at the sign of a place whose range it cannot tell, and the loop stays scalar
        x = tokens[first + at] ^ ((before + at + U1) * PLACE_0)
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


@inner
def fmix32(h):
    h = np.uint32((h ^ (h >> np.uint32(16))) * F32_1)
    h = np.uint32((h ^ (h >> np.uint32(13))) * F32_2)
    return h ^ (h >> np.uint32(16))


@inner
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
    for k in range(0, len(minima), 4 * PLACES):
        left = (len(minima) - k) // PLACES
        if left >= 4:
            lower_four(mixed, count, a, b, minima, k)
        elif left == 3:
            lower_three(mixed, count, a, b, minima, k)
        elif left == 2:
            lower_two(mixed, count, a, b, minima, k)
        else:
            lower_one(mixed, count, a, b, minima, k)


@inner
def fmix64(x):
    x = (x ^ (x >> U33)) * F64_1
    x = (x ^ (x >> U33)) * F64_2
    return x ^ (x >> U33)


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
    out,
    bounds,
    longs,
    tokens,
    hashes,
    mixed,
    minima,
    sums,
):
    """Fill signatures uint32[n, k], keys uint64[n, bands], exact uint64[n, 2], tokens_seen int64[n].

    An output with no columns is left out. char: 0 or 1; unspaced: the bit of `flags` that makes a character a word, or
    0; a, b: padded with repeats to a multiple of PLACES. From `out` on, scratch: as `scratch` in `stages.dedup.sketch`
    makes it, then as long as `tokens`, uint32; as long as `a`, uint32; uint64[2].
    """
    rows, alone, chars = multipliers.shape[1], np.uint8(unspaced), char != 0
    for i in range(len(offsets) - 1):
        length = normalise(data, offsets[i], offsets[i + 1], utf8, flags, alone, out)
        minima[:] = np.uint32(0xFFFFFFFF)
        sums[:] = U0
        held, seen, began = 0, 0, -1
        for base in range(0, length + 1, SECTION):
            end = min(base + SECTION, length + 1)
            held, began = section_tokens(out, base, end, chars, bounds, longs, began, tokens, held)
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
