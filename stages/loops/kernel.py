"""Signatures, band keys and exact hashes of a column of text, in one pass over the Arrow buffers.

`tokenise` makes word hashes; here they become n-gram hashes -> minima -> band keys. `stages.hashing.shingles` defines
every step.
"""

import numpy as np
from numba import int64, uint8, uint32, uint64, void

from stages.loops.compile import inner, loop, read
from stages.loops.constants import BASE, CHUNK, PLACE, SECTION, SPREAD, SPREAD_AGAIN
from stages.loops.tokenise import KEEP, U0, U1, U32, load8, normalise, section_tokens

U2, U3, U4, U5, U6, U7, U29, U33 = (np.uint64(n) for n in (2, 3, 4, 5, 6, 7, 29, 33))
BASE = np.uint64(BASE)
PLACE_0, PLACE_1 = PLACE
SPREAD_0, SPREAD_1 = SPREAD
AGAIN_0, AGAIN_1 = SPREAD_AGAIN
F64_1, F64_2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
F32_1, F32_2 = np.uint32(0x85EBCA6B), np.uint32(0xC2B2AE35)

TEXT = (read(uint8), int64[::1], uint32[::1], uint8[::1], int64, int64)  # data, offsets, utf8, flags, char, unspaced
SCRATCH = (uint8[::1], uint8[::1], uint64[::1], uint64[::1])  # out, bounds, tokens, hashes


@inner
def fold(tokens, held, seen, ngram, final, sums, hashes, mixed, a, b, minima):
    """Take `held` word hashes into minima and exact sums, `seen` words in; return how many stay for the next call.

    The last ngram - 1 words stay, since n-grams that begin in them end in what comes next.
    """
    carried = min(seen, ngram - 1)
    h0, h1 = sums[0], sums[1]
    first, before = np.uint64(carried), np.uint64(seen)
    for i in range(np.uint64(held - carried)):
        x = tokens[first + i] ^ ((before + i + U1) * PLACE_0)
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
    """MurmurHash3's finaliser of 32 bits (Appleby)."""
    h = np.uint32((h ^ (h >> np.uint32(16))) * F32_1)
    h = np.uint32((h ^ (h >> np.uint32(13))) * F32_2)
    return h ^ (h >> np.uint32(16))


@inner
def fmix64(x):
    """MurmurHash3's finaliser of 64 bits (Appleby)."""
    x = (x ^ (x >> U33)) * F64_1
    x = (x ^ (x >> U33)) * F64_2
    return x ^ (x >> U33)


@inner
def permute(tokens, count, width, hashes, mixed, a, b, minima):
    """Lower the minima by `count` shingles of `width` words; hashes, mixed: scratch."""
    n = np.uint64(count)
    if width == 5:  # the usual one, in one sweep
        for i in range(n):
            h = ((tokens[i] * BASE + tokens[i + U1]) * BASE + tokens[i + U2]) * BASE
            mixed[i] = fmix32(np.uint32(((h + tokens[i + U3]) * BASE + tokens[i + U4]) >> U32))
    else:
        for i in range(n):
            hashes[i] = tokens[i]
        for j in range(1, width):
            for i in range(n):
                hashes[i] = hashes[i] * BASE + tokens[i + np.uint64(j)]
        for i in range(n):
            mixed[i] = fmix32(np.uint32(hashes[i] >> U32))
    # A minimum may see a value twice, so the last block is filled with one of the values.
    blocks = (n + U7) >> U3
    for i in range(n, blocks << U3):
        mixed[i] = mixed[U0]
    # Eight shingles at a time: they stay in registers while all permutations pass by, sixteen in a vector. The other
    # order, a permutation for all shingles, would end in a minimum across a vector for each of them.
    for block in range(blocks):
        i = block << U3
        h0, h1, h2, h3 = mixed[i], mixed[i + U1], mixed[i + U2], mixed[i + U3]
        h4, h5, h6, h7 = mixed[i + U4], mixed[i + U5], mixed[i + U6], mixed[i + U7]
        for k in range(np.uint64(len(minima))):
            x, y, m = a[k], b[k], minima[k]
            m = min(m, np.uint32(x * h0 + y))
            m = min(m, np.uint32(x * h1 + y))
            m = min(m, np.uint32(x * h2 + y))
            m = min(m, np.uint32(x * h3 + y))
            m = min(m, np.uint32(x * h4 + y))
            m = min(m, np.uint32(x * h5 + y))
            m = min(m, np.uint32(x * h6 + y))
            minima[k] = min(m, np.uint32(x * h7 + y))


@loop(
    void(
        *TEXT, int64, uint32[::1], uint32[::1], uint64[:, ::1], uint64[::1],
        uint32[:, ::1], uint64[:, ::1], uint64[:, ::1], int64[::1], *SCRATCH, uint32[::1], uint32[::1], uint64[::1],
    )
)  # fmt: skip
def sketch(
    data, offsets, utf8, flags, char, unspaced, ngram, a, b, multipliers, salts,
    signatures, keys, exact, words, out, bounds, tokens, hashes, mixed, minima, sums,
):  # fmt: skip
    """Fill signatures uint32[n, k], keys uint64[n, bands], exact uint64[n, 2], words int64[n].

    An output with no columns is left out.

    data, offsets   the buffers of a column of n texts
    utf8, flags     the tables of `stages.hashing.code_points`
    char            1: every character is a unit
    unspaced        the bit of `flags` that makes a character a word of its own, or 0
    a, b            uint32[k]: the permutations, padded with repeats to a multiple of LANES
    multipliers, salts  uint64[bands, rows], uint64[bands]: constants of the band keys
    out to hashes   scratch, as `word_scratch` in `stages.hashing.sketch` makes it
    mixed, minima, sums  scratch: as long as `hashes`; as long as `a`; 2
    """
    rows, alone, chars = multipliers.shape[1], np.uint8(unspaced), char != 0
    for i in range(len(offsets) - 1):
        length = normalise(data, offsets[i], offsets[i + 1], utf8, flags, alone, out)
        minima[:] = np.uint32(0xFFFFFFFF)
        sums[:] = U0
        held, seen, began = 0, 0, -1
        for base in range(0, length + 1, SECTION):
            end = min(base + SECTION, length + 1)
            held, began = section_tokens(out, base, end, chars, bounds, began, tokens, held)
            if held >= CHUNK:
                carried = min(seen, ngram - 1)
                keep = fold(tokens, held, seen, ngram, False, sums, hashes, mixed, a, b, minima)
                seen += held - carried
                held = keep
        carried = min(seen, ngram - 1)
        fold(tokens, held, seen, ngram, True, sums, hashes, mixed, a, b, minima)
        seen += held - carried
        words[i] = seen
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


@loop(void(*TEXT, uint64[::1], int64[::1], *SCRATCH))
def word_hashes(data, offsets, utf8, flags, char, unspaced, found, stops, out, bounds, tokens, hashes):
    """Write the word hashes of all documents to `found`, in order; those of document i end at stops[i].

    Arguments as for `sketch`. found uint64[m]: a place for every byte of the text is enough.
    """
    alone, chars, count = np.uint8(unspaced), char != 0, 0
    for i in range(len(offsets) - 1):
        length = normalise(data, offsets[i], offsets[i + 1], utf8, flags, alone, out)
        began = -1
        for base in range(0, length + 1, SECTION):
            end = min(base + SECTION, length + 1)
            held, began = section_tokens(out, base, end, chars, bounds, began, tokens, 0)
            for j in range(held):
                found[count + j] = tokens[j]
            count += held
        stops[i] = count


@loop(void(read(uint8), int64[::1], uint64[:, ::1]))
def hash_bytes(data, offsets, exact):
    """Fill exact uint64[n, 2]: 128 bits of each document's bytes as they are."""
    for i in range(len(offsets) - 1):
        start, stop = offsets[i], offsets[i + 1]
        h0 = h1 = np.uint64(stop - start)
        for at in range(start, stop, 8):
            if at + 8 <= len(data):
                word = load8(data, at) & KEEP[min(stop - at, 8)]
            else:  # nothing behind the buffer is read
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
