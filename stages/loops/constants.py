"""Numbers that the loops and the readable definitions beside them share."""

import numpy as np

LANE = 64  # bytes handled at once; also the padding that every scratch buffer of bytes needs
PLACES = 16  # uint32 handled at once
EIGHT = 8  # words hashed at once
SECTION = 4096  # bytes whose words are taken at once
CHUNK = 2048  # word hashes held before they are folded in; both bound the scratch of a long document


def draws(stream: int, count: int) -> np.ndarray:
    """uint64[count]: odd constants, the SplitMix64 sequence from `stream`."""
    with np.errstate(over="ignore"):
        x = np.uint64(stream) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return (x ^ (x >> np.uint64(31))) | np.uint64(1)


FIRST, NEXT, BASE = (int(c) for c in draws(1, 3))  # first eight bytes of a word, later ones; n-gram polynomial
PLACE = draws(2, 2)  # whole-document hash: position of a word (or of eight bytes), one constant per half
SPREAD = draws(3, 2)
SPREAD_AGAIN = draws(4, 2)
