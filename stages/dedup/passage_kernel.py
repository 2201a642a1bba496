"""Which n-grams of a given set a column of text holds: the word hashes of `kernel`, a bit filter, a sorted array."""

import numpy as np

from stages.dedup.kernel import BASE, fmix64
from stages.dedup.lanes import LANE
from stages.dedup.machine_code import compiled
from stages.dedup.tokenise import CHUNK, SECTION, normalise, section_tokens

U0, U1 = np.uint64(0), np.uint64(1)


@compiled
def find(data, offsets, utf8, flags, char, unspaced, widths, grams, starts, filters, shift, rows, found):
    """Fill rows[h], found[h] with (document, index into `grams`) of every n-gram met, in order; returns their number.

    widths int64[w]: lengths of n-grams; grams[starts[j] : starts[j + 1]]: sorted hashes of length widths[j];
    filters uint8[w, 2^(64 - shift) / 8]: a bit for the high bits of each. More than len(rows): call again with room.
    """
    longest = 0
    for i in range(len(offsets) - 1):
        longest = max(longest, offsets[i + 1] - offsets[i])
    carry_most = widths.max() - 1
    out = np.empty(2 * longest + 3 * LANE, np.uint8)
    bounds, longs = np.empty(SECTION + LANE, np.int64), np.empty(SECTION // 2 + LANE, np.uint64)
    tokens = np.empty(CHUNK + SECTION + carry_most + 1, np.uint64)
    hashes = np.empty(len(tokens), np.uint64)
    hits = 0
    for i in range(len(offsets) - 1):
        length = normalise(data, offsets[i], offsets[i + 1], utf8, flags, unspaced, out)
        held, carried, open_ends, carry = 0, 0, 0, U0
        for base in range(0, length + 1, SECTION):
            end = min(base + SECTION, length + 1)
            held, open_ends, carry = section_tokens(out, base, end, char, bounds, longs, open_ends, carry, tokens, held)
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
                        if hits < len(rows):
                            rows[hits], found[hits] = i, low
                        hits += 1
            keep = min(held, carry_most)
            tokens[:keep] = tokens[held - keep : held].copy()
            held = carried = keep
    return hits
