"""Which n-grams of a given set a column of text holds: the word hashes of `tokenise`, a bit table, a sorted array."""

import numpy as np
from numba import int64, uint8, uint64, void

from stages.loops.compile import loop
from stages.loops.constants import CHUNK, SECTION
from stages.loops.kernel import BASE, SCRATCH, TEXT, fmix64
from stages.loops.tokenise import normalise, section_tokens


@loop(
    void(
        *TEXT, int64[::1], uint64[::1], int64[::1], uint8[:, ::1], uint64, int64[::1], int64[::1], int64[::1], *SCRATCH
    )
)  # fmt: skip
def find_passages(
    data, offsets, utf8, flags, char, unspaced,
    widths, grams, starts, filters, shift, rows, found, hits, out, bounds, tokens, hashes,
):  # fmt: skip
    """Fill rows[h], found[h] with (document, index into `grams`) of every n-gram met, in order, and hits[0] with h.

    Arguments before `widths` and from `out` on as for `kernel.sketch`.

    widths   int64[w]: lengths of n-grams
    grams    uint64[g]: grams[starts[j] : starts[j + 1]] are the sorted hashes of length widths[j]
    filters  uint8[w, 2^(64 - shift) / 8]: a bit for the high bits of each of them
    rows, found  int64[most]; where hits[0] is more, the call must be repeated with longer ones
    """
    alone, chars, carry_most = np.uint8(unspaced), char != 0, 0
    for width in widths:
        carry_most = max(carry_most, width - 1)
    hits[0] = 0
    for i in range(len(offsets) - 1):
        length = normalise(data, offsets[i], offsets[i + 1], utf8, flags, alone, out)
        held, carried, began = 0, 0, -1
        for base in range(0, length + 1, SECTION):
            end = min(base + SECTION, length + 1)
            held, began = section_tokens(out, base, end, chars, bounds, began, tokens, held)
            if held < CHUNK and end <= length:
                continue
            for j in range(len(widths)):
                width = widths[j]
                # n-grams that lie in the carried words alone were met before
                for at in range(max(carried - width + 1, 0), held - width + 1):
                    hashes[at] = tokens[at]
                for step in range(1, width):
                    for at in range(max(carried - width + 1, 0), held - width + 1):
                        hashes[at] = hashes[at] * BASE + tokens[at + step]
                for at in range(max(carried - width + 1, 0), held - width + 1):
                    gram = fmix64(hashes[at])
                    bit = gram >> shift
                    if (filters[j, bit >> np.uint64(3)] >> np.uint8(bit & np.uint64(7))) & 1 == 0:
                        continue
                    low, high = starts[j], starts[j + 1]
                    while low < high:
                        middle = (low + high) >> 1
                        if grams[middle] < gram:
                            low = middle + 1
                        else:
                            high = middle
                    if low < starts[j + 1] and grams[low] == gram:
                        if hits[0] < len(rows):
                            rows[hits[0]], found[hits[0]] = i, low
                        hits[0] += 1
            # The last words stay: n-grams that begin in them end in what comes next.
            keep = min(held, carry_most)
            for at in range(keep):
                tokens[at] = tokens[held - keep + at]
            held = carried = keep
