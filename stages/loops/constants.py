"""Numbers that the loops and the readable definitions in `stages.hashing.shingles` share."""

import numpy as np

LANE = 64  # bytes lower-cased at once; also the padding behind every scratch buffer of bytes
SECTION = 4096  # bytes whose word bounds are taken at once
CHUNK = 2048  # word hashes held before they enter the minima; SECTION and CHUNK bound the scratch of a long document
LANES = 16  # places of a signature are padded to a multiple of this many: a vector of AVX-512, two of AVX2
BLOCK = 8  # shingles that enter the minima together


def draws(stream: int, count: int) -> np.ndarray:
    """Return uint64[count]: odd constants, the SplitMix64 sequence from `stream`.

    Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
    """
    with np.errstate(over="ignore"):
        x = np.uint64(stream) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return (x ^ (x >> np.uint64(31))) | np.uint64(1)


FIRST, NEXT, BASE = (int(c) for c in draws(1, 3))  # first eight bytes of a word, later ones; n-gram polynomial
PLACE = draws(2, 2)  # whole-document hash: position of a word (or of eight bytes), one constant per half
SPREAD = draws(3, 2)
SPREAD_AGAIN = draws(4, 2)
