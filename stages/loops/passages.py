"""Which n-grams of a given set a column of text holds: the word hashes of `tokenise`, a bit filter, a sorted array."""

import numpy as np

from stages.loops.constants import CHUNK, SECTION
from stages.loops.kernel import BASE, fmix64
from stages.loops.tokenise import normalise, section_tokens

U0, U1 = np.uint64(0), np.uint64(1)


def find_passages(
    data,
    offsets,
    utf8,
    flags,
    char,
    unspaced,
    widths,
    grams,
    starts,
    filters,
    shift,
    rows,
    found,
    hits,
    out,
    bounds,
    longs,
    tokens,
    hashes,
):
    """Fill rows[h], found[h] with (document, index into `grams`) of every n-gram met, in order, and hits[0] with
    their number.

    widths int64[w]: lengths of n-grams; grams[starts[j] : starts[j + 1]]: sorted hashes of length widths[j];
    filters uint8[w, 2^(64 - shift) / 8]: a bit for the high bits of each. More than len(rows): call again with room.
    From `out` on, scratch: as `scratch` in `stages.dedup.sketch` makes it.
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
            held, began = section_tokens(out, base, end, chars, bounds, longs, began, tokens, held)
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
            keep = min(held, carry_most)
            for at in range(keep):
                tokens[at] = tokens[held - keep + at]
            held = carried = keep
