"""Which rows belong together, and which of them stay: the loops behind the phases `edges`, `components` and `keep`."""

import numpy as np
from numba import boolean, int64, uint32, uint64, void

from stages.loops.compile import inner, loop, read


@loop(void(read(uint64), uint64[::1], uint64, boolean[::1]))
def mark_shared(keys, places, mask, repeated):
    """Set repeated bool[m]: the place of keys[i] has another key, or the same one again; keys uint64[m].

    places: zeros, 32 places of 2 bits in each uint64; a key's place is its bits under `mask`.
    """
    one, two, three, five, high = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(5), np.uint64(62)
    for key in keys:
        place = key & mask
        word, shift = place >> five, (place << one) & high
        if (places[word] >> shift) & three < two:  # two stands for more than one
            places[word] += one << shift
    for i in range(len(keys)):
        place = keys[i] & mask
        repeated[i] = (places[place >> five] >> ((place << one) & high)) & three == two


@loop(void(read(uint64), uint64[::1], uint64))
def mark(keys, places, mask):
    """Set the place of every key; keys uint64[m].

    places: 64 of one bit in each uint64; a key's place is its bits under `mask`.
    """
    one, six, low = np.uint64(1), np.uint64(6), np.uint64(63)
    for key in keys:
        place = key & mask
        places[place >> six] |= one << (place & low)


@loop(void(read(uint64), uint64[::1], uint64, int64[::1], int64[::1]))
def pick(keys, places, mask, found, count):
    """Write to found[: count[0]] the positions of the keys whose place is set; found int64[m]."""
    six, low = np.uint64(6), np.uint64(63)
    n = 0
    for i in range(len(keys)):
        place = keys[i] & mask
        found[n] = i  # written over unless the place is set: no branch that the processor would guess wrong
        n += np.int64(places[place >> six] >> (place & low) & np.uint64(1))
    count[0] = n


@loop(*(void(kind[::1], read(kind), read(kind)) for kind in (uint32, int64)))
def union(parent, left, right):
    """Join the components of left[i] and right[i], for every i."""
    for i in range(len(left)):
        x, y = left[i], right[i]
        # Path halving: every node that is passed is hung from its grandparent.
        while parent[x] != x:
            parent[x] = parent[parent[x]]
            x = parent[x]
        while parent[y] != y:
            parent[y] = parent[parent[y]]
            y = parent[y]
        if x < y:
            parent[y] = x
        elif y < x:
            parent[x] = y


@loop(void(uint32[::1]), void(int64[::1]))
def flatten(parent):
    """Point every row at its root: parents are below their children, so one ascending sweep is enough."""
    for i in range(len(parent)):
        parent[i] = parent[parent[i]]


@inner
def agreement(one, other):
    """Return the number of equal places of two signatures."""
    equal = 0
    for k in range(len(one)):
        equal += np.int32(one[k] == other[k])
    return equal


@inner
def shares_band(one, other, bands, rows):
    """Return whether two signatures have all places of some band in common."""
    for first in range(0, bands * rows, rows):
        equal = 0
        for k in range(first, first + rows):
            equal += one[k] == other[k]
        if equal == rows:
            return True
    return False


@loop(
    void(
        read(int64), read(int64), read(uint32, 2), read(boolean), int64, int64, int64,
        int64[::1], int64[::1], int64[::1], int64[:, ::1],
    )
)  # fmt: skip
def greedy(walk, bounds, signatures, pinned, need, bands, rows, anchors, anchor, agreed, pairs):
    """Walk over the leaders, cluster by cluster; fill anchor, agreed and pairs in place.

    walk    int64[m]: rows in keep order; cluster c is walk[bounds[c] : bounds[c + 1]]
    need    equal places that make a row go
    anchors int64[most]: scratch, for the anchors of one cluster
    """
    places = signatures.shape[1]
    for c in range(len(bounds) - 1):
        held = 1
        anchors[0] = walk[bounds[c]]
        for at in range(bounds[c] + 1, bounds[c + 1]):
            row = walk[at]
            goes = False
            if not pinned[row]:
                for i in range(held):
                    kept = anchors[i]
                    equal = agreement(signatures[row], signatures[kept])
                    if i == 0:  # the tally of pairs is over rows and the first of their cluster
                        bin = min(equal * len(pairs) // places, len(pairs) - 1)
                        pairs[bin, 0] += 1
                        pairs[bin, 1] += shares_band(signatures[row], signatures[kept], bands, rows)
                    if equal >= need:
                        anchor[row], agreed[row], goes = kept, equal, True
                        break
            if not goes and held < len(anchors):
                anchors[held] = row
                held += 1
