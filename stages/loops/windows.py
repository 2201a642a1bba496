"""Runs of words of one length (windows): which n-gram stands for each of them, and 128 bits of their words."""

import numpy as np
from numba import int64, uint64, void

from stages.loops.compile import inner, loop, read
from stages.loops.constants import BASE, draws
from stages.loops.kernel import TEXT, fmix64
from stages.loops.tokenise import decode

BASE = np.uint64(BASE)
WORD, PAIR, LAST = (draws(stream, 2) for stream in (6, 7, 8))  # one constant for each half of the 128 bits


@loop(int64(read(uint64), read(int64), int64, int64, *(uint64[::1],) * 2, *(int64[::1],) * 3))
def find_anchors(words, stops, length, gram, hashes, keys, owner, first, windows):
    """Write the anchors of all documents, in order, and return their number.

    Every window of `length` words is represented by the n-gram of `gram` words in it whose hash is smallest, by the
    first of these. Neighbouring windows with one representative make an anchor. A window's representative hangs on the
    window's words alone. So where equal windows are, there are equal keys.

    words   uint64[m]: word hashes of all documents; those of document d end at stops[d]
    hashes  scratch, as long as the longest document
    keys, owner, first, windows  [m]: of an anchor the hash of its n-gram, its document, the place of its first window
            in the document, and the number of its windows
    """
    found, start, power, width = 0, 0, np.uint64(1), length - gram + 1
    for _ in range(gram):
        power *= BASE
    for d in range(len(stops)):
        size = stops[d] - start
        if size >= length:
            h = np.uint64(0)
            for i in range(gram):
                h = h * BASE + words[start + i]
            hashes[0] = fmix64(h)
            for i in range(1, size - gram + 1):
                h = h * BASE + words[start + i + gram - 1] - power * words[start + i - 1]
                hashes[i] = fmix64(h)
            best = -1
            for at in range(size - length + 1):
                if best < at:
                    best = at
                    for i in range(at + 1, at + width):
                        if hashes[i] < hashes[best]:
                            best = i
                elif hashes[at + width - 1] < hashes[best]:
                    best = at + width - 1
                else:
                    windows[found - 1] += 1
                    continue
                keys[found], owner[found], first[found], windows[found] = hashes[best], d, at, 1
                found += 1
        start = stops[d]
    return found


@inner
def mix(one, two, constant):
    """Return 64 bits of a pair."""
    return fmix64(one * constant + two)


@loop(void(read(uint64), read(uint64), int64, read(int64), read(int64), uint64[::1], uint64[:, ::1]))
def hash_windows(units, last, length, first, windows, scratch, keys):
    """Fill keys uint64[2, sum of windows]: 128 bits of every window that begins in first[s] + (0 .. windows[s] - 1).

    A window is the units from its first word on, and `last` of its last word: they differ where what stands between the
    words counts. Hashes of 2, 4, 8 units are made from pairs of shorter ones; the last two may overlap.

    units, last  uint64[m]
    scratch      as long as the longest run of words
    """
    inner_length = length - 1
    for half in range(2):
        done = 0
        for s in range(len(first)):
            at, many = first[s], windows[s]
            size, width = many + inner_length - 1, 1
            for i in range(size):
                scratch[i] = fmix64(units[at + i] + WORD[half])
            while 2 * width <= inner_length:
                for i in range(size - 2 * width + 1):
                    scratch[i] = mix(scratch[i], scratch[i + width], PAIR[half])
                width *= 2
            for i in range(many):
                key = mix(scratch[i], scratch[i + inner_length - width], LAST[half])
                keys[half, done + i] = mix(key, last[at + i + inner_length], WORD[half])
            done += many


@loop(void(*TEXT, *(int64[::1],) * 3))
def word_places(data, offsets, utf8, flags, char, unspaced, first, last, stops):
    """Write the bytes at which every word of all documents begins and ends; those of document i end at stops[i].

    Arguments before `first` as for `kernel.sketch`: the words are those whose hashes that file makes.
    """
    found = 0
    for i in range(len(offsets) - 1):
        p, stop, inside = offsets[i], offsets[i + 1], False
        while p < stop:
            c, size = np.uint32(data[p]), 1
            if c >= 0x80:
                c, size = decode(data, p, stop, c)
            if utf8[c] == 0:
                inside = False
            elif inside and char == 0 and flags[c] & np.uint8(unspaced) == 0:
                last[found - 1] = p + size
            else:
                first[found], last[found] = p, p + size
                found += 1
                inside = char == 0 and flags[c] & np.uint8(unspaced) == 0
            p += size
        stops[i] = found
