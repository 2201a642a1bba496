"""The kernel in numpy: the same numbers by other code, for tests to hold the kernel against.

Documents are joined with a separator between them and every step runs over all of them at once.
"""

import numpy as np

from stages.hashing.code_points import ALONE, code_points
from stages.hashing.scheme import Scheme
from stages.hashing.shingles import EMPTY, band_constants, fmix64, permutations
from stages.hashing.sketch import Sketches, buffers
from stages.loops.constants import BASE, FIRST, NEXT, PLACE, SPREAD, SPREAD_AGAIN

GROUP_BYTES = 1 << 19  # text joined at once: what a permutation touches stays in the second cache
U32, U29 = np.uint64(32), np.uint64(29)


def fmix32(h: np.ndarray) -> np.ndarray:
    h = (h ^ (h >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    h = (h ^ (h >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return h ^ (h >> np.uint32(16))


def groups(offsets: np.ndarray):
    """Runs (first, stop) of documents of about GROUP_BYTES."""
    first = 0
    while first < len(offsets) - 1:
        stop = max(first + 1, int(np.searchsorted(offsets, offsets[first] + GROUP_BYTES, side="right")) - 1)
        yield first, stop
        first = stop


def token_hashes(texts: list[bytes], unit: str) -> tuple[np.ndarray, np.ndarray]:
    """(hash uint64[t], document int64[t]) of every word of the texts, in order."""
    table = code_points()
    joined = "\0".join(text.decode("utf-8", "replace") for text in texts)
    point = np.frombuffer(joined.encode("utf-32-le"), np.uint32)
    flags, packed = table.flags[point], table.utf8[point]
    inside = packed > 0
    alone = inside if unit == "char" else inside & (flags & ALONE > 0) & (unit == "auto")
    starts = inside & (alone | ~np.concatenate([[False], (inside & ~alone)[:-1]]))
    size = np.where(inside, flags & 7, 0).astype(np.int64)

    where = np.cumsum(size) - size  # first byte of each character in the buffer of words without separators
    buffer = np.zeros(int(size.sum()) + 16, np.uint8)
    for j in range(4):
        chosen = size > j
        buffer[where[chosen] + j] = (packed[chosen] >> np.uint32(8 * j)) & 0xFF
    first = where[starts]
    length = np.diff(first, append=len(buffer) - 16)

    eight = np.lib.stride_tricks.as_strided(buffer[:8].view("<u8"), (len(buffer) - 7,), (1,), writeable=False)
    mask = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)
    x = (eight[first] & mask[np.minimum(length, 8)]) * np.uint64(FIRST)
    x ^= x >> U32
    for at in range(8, max(16, int(length.max(initial=0))), 8):
        more = np.flatnonzero(length > at) if at > 8 else np.arange(len(x))
        left = np.clip(length[more] - at, 0, 8)
        piece = eight[np.minimum(first[more] + at, len(eight) - 1)] & mask[left]
        y = (x[more] + piece) * np.uint64(NEXT)
        x[more] = y ^ (y >> U32)
    document = np.cumsum(point == 0)[starts] if len(texts) > 1 else np.zeros(len(x), np.int64)
    return x, document


def shingle_hashes(tokens: np.ndarray, document: np.ndarray, counts: np.ndarray, ngram: int):
    """(mixed hash uint32[s], document int64[s]) of every shingle."""
    hashes, owners = [], []
    ends = np.cumsum(counts)
    for width in range(1, ngram + 1):
        if width < ngram:  # a short document is one shingle of all its words
            first = (ends - counts)[counts == width]
        else:
            first = np.arange(max(len(tokens) - width + 1, 0))
            first = first[document[first] == document[first + width - 1]]
        h = np.zeros(len(first), np.uint64)
        for j in range(width):
            h = h * np.uint64(BASE) + tokens[first + j]
        hashes.append(fmix32((h >> U32).astype(np.uint32)))
        owners.append(document[first])
    hashed, owner = np.concatenate(hashes), np.concatenate(owners)
    order = np.argsort(owner, kind="stable")
    return hashed[order], owner[order]


def exact_sums(values: np.ndarray, place: np.ndarray, rounds: int) -> list[np.ndarray]:
    """The two terms of each value in the whole-document hash."""
    terms = []
    for half in range(2):
        x = values ^ (place * PLACE[half if rounds == 2 else 0])
        x = (x ^ (x >> U32)) * SPREAD[half]
        x ^= x >> U29
        if rounds == 2:
            x = x * SPREAD_AGAIN[half]
            x ^= x >> U32
        terms.append(x)
    return terms


def add_by(terms: np.ndarray, owner: np.ndarray, count: int) -> np.ndarray:
    """Sums mod 2^64 of `terms` per owner; owners ascend."""
    total = np.zeros(count, np.uint64)
    if len(terms):
        first = np.flatnonzero(np.diff(owner, prepend=-1))
        total[owner[first]] = np.add.reduceat(terms, first)
    return total


def sketches(text, scheme: Scheme) -> Sketches:
    """Return what `sketch` returns for a column of strings."""
    data, offsets = buffers(text)
    n = len(offsets) - 1
    found = Sketches(
        np.empty((n, scheme.places), np.uint32),
        np.empty((n, scheme.bands), np.uint64),
        np.empty((n, 2), np.uint64),
        np.empty(n, np.int64),
    )
    with np.errstate(over="ignore"):
        _sketch(data, offsets, scheme, found.signatures, found.keys, found.exact, found.words)
    return found


def byte_hashes(text) -> np.ndarray:
    """Return uint64[n, 2]: 128 bits of each document's bytes."""
    data, offsets = buffers(text)
    exact = np.empty((len(offsets) - 1, 2), np.uint64)
    with np.errstate(over="ignore"):
        _hash_bytes(data, offsets, exact)
    return exact


def _sketch(data, offsets, scheme: Scheme, signatures, keys, exact, tokens_seen) -> None:
    a, b = permutations(scheme)
    multipliers, salts = band_constants(scheme)
    for low, stop in groups(offsets):
        texts = [data[offsets[i] : offsets[i + 1]].tobytes().replace(b"\0", b" ") for i in range(low, stop)]
        tokens, document = token_hashes(texts, scheme.unit)
        counts = np.bincount(document, minlength=stop - low)
        tokens_seen[low:stop] = counts
        if exact.shape[1]:
            place = np.arange(len(tokens)) - np.repeat(np.cumsum(counts) - counts, counts) + 1
            for half, terms in enumerate(exact_sums(tokens, place.astype(np.uint64), rounds=1)):
                total = add_by(terms, document, stop - low)
                exact[low:stop, half] = fmix64(total + counts.astype(np.uint64))
        if not signatures.shape[1] and not keys.shape[1]:
            continue
        mixed, owner = shingle_hashes(tokens, document, counts, scheme.ngram)
        minima = np.full((scheme.places, stop - low), EMPTY)
        if len(mixed):
            first = np.flatnonzero(np.diff(owner, prepend=-1))
            for k in range(scheme.places):
                minima[k, owner[first]] = np.minimum.reduceat(mixed * a[k] + b[k], first)
        minima = np.ascontiguousarray(minima.T)
        if signatures.shape[1]:
            signatures[low:stop] = minima
        if keys.shape[1]:
            banded = minima[:, : scheme.bands * scheme.rows].reshape(-1, scheme.bands, scheme.rows)
            keys[low:stop] = fmix64((banded * multipliers).sum(axis=2, dtype=np.uint64) + salts)


def _hash_bytes(data, offsets, exact) -> None:
    for low, stop in groups(offsets):
        sizes = np.diff(offsets[low : stop + 1])
        words = -(-sizes // 8)
        ends = np.cumsum(words)
        padded = np.zeros(int(words.sum()) * 8, np.uint8)
        within = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        padded[within + np.repeat((ends - words) * 8, sizes)] = data[offsets[low] : offsets[stop]]
        owner = np.repeat(np.arange(stop - low), words)
        place = (np.arange(len(owner)) - np.repeat(ends - words, words) + 1).astype(np.uint64)
        for half, terms in enumerate(exact_sums(padded.view("<u8"), place, rounds=2)):
            exact[low:stop, half] = fmix64(add_by(terms, owner, stop - low) + sizes.astype(np.uint64))
