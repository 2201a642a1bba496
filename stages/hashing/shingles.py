"""A document in the near-duplicate search: its words, n-grams and hashes. The readable definition.

    text -> words: lower-cased runs of word characters, by the frozen table of `codepoints`
         -> shingles: every run of `ngram` consecutive words; a shorter document is one shingle of its words
         -> one 32-bit hash each (`shingle_hash32`)
         -> k minima under h -> a * fmix32(h) + b mod 2^32, a odd: datasketch 2's `affine32`, with its draws
         -> one 64-bit key per band of `rows` minima

A row of signatures is `datasketch.MinHash(num_perm=k, seed=seed, hashfunc=shingle_hash32)` after
`update_batch(shingles(text))`. A document without words has no shingles and no keys. Beside the signature
goes a 128-bit hash of the whole sequence of words; since words enter it as 64-bit hashes, two documents
that differ in one word share it with probability 2^-64.

Sources: Broder, "On the resemblance and containment of documents", 1997 (shingles, min-wise hashing);
Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", chapter 3 (bands); Appleby's MurmurHash3
(finalisers); Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014 (constants).
"""

from functools import lru_cache
from itertools import pairwise

import numpy as np

from stages.hashing.scheme import DEFAULT, Scheme, Unit
from stages.loops.constants import BASE, FIRST, NEXT, draws

M64 = (1 << 64) - 1
EMPTY = np.uint32(0xFFFFFFFF)  # a minimum over no shingle


@lru_cache(16)  # batches of one node ask again and again
def permutations(scheme: Scheme) -> tuple[np.ndarray, np.ndarray]:
    """(a, b) uint32[places]: datasketch 2's draws for `affine32`; a is odd."""
    random = np.random.RandomState(scheme.seed)
    a = random.randint(0, 1 << 31, scheme.places, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    return a, random.randint(0, 1 << 32, scheme.places, dtype=np.uint32)


@lru_cache(16)
def band_constants(scheme: Scheme) -> tuple[np.ndarray, np.ndarray]:
    """(multipliers uint64[bands, rows], salts uint64[bands]); salts keep equal places of two bands apart."""
    drawn = draws(5, scheme.bands * (scheme.rows + 1)).reshape(scheme.bands, -1)
    return np.ascontiguousarray(drawn[:, 1:]), np.ascontiguousarray(drawn[:, 0])


def fmix64(x: np.ndarray) -> np.ndarray:
    """Return the MurmurHash3 finaliser of uint64[n]."""
    x = (x ^ (x >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    x = (x ^ (x >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return x ^ (x >> np.uint64(33))


def words(text: str, unit: Unit = "word") -> list[str]:
    """The units of a text, in order."""
    return [word for word, _, _ in spans(text, unit)]


def spans(text: str, unit: Unit = "word") -> list[tuple[str, int, int]]:
    """(unit, first character, character after the last) of the units of a text, in order."""
    from stages.hashing.code_points import ALONE, code_points

    table = code_points()
    point = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    lower = table.lower[point]
    inside = lower > 0
    alone = inside if unit == "char" else inside & (table.flags[point] & ALONE > 0) & (unit == "auto")
    starts = inside & (alone | np.concatenate([[True], ~inside[:-1] | alone[:-1]])) if len(point) else inside
    low = "".join(map(chr, lower[inside].tolist()))
    cuts = np.append(np.flatnonzero(starts[inside]), len(low)).tolist()
    first = np.flatnonzero(starts).tolist()
    return [(low[a:b], at, at + b - a) for (a, b), at in zip(pairwise(cuts), first, strict=True)]


def shingles(text: str, scheme: Scheme = DEFAULT) -> list[bytes]:
    """The shingles of a text, in order and with repeats: UTF-8, words joined by one space."""
    found = words(text, scheme.unit)
    last = max(len(found) - scheme.ngram + 1, min(len(found), 1))
    return [" ".join(found[i : i + scheme.ngram]).encode() for i in range(last)]


def token_hash(word: bytes) -> int:
    """64 bits of one word: a multiply and a fold per eight bytes."""
    pieces = [int.from_bytes(word[i : i + 8], "little") for i in range(0, max(len(word), 9), 8)]
    x = pieces[0] * FIRST & M64
    x ^= x >> 32
    for piece in pieces[1:]:
        x = (x + piece) * NEXT & M64
        x ^= x >> 32
    return x


def shingle_hash32(shingle: bytes) -> int:
    """32 bits of one shingle: the high half of a polynomial over its word hashes. A datasketch `hashfunc`."""
    s = 0
    for word in shingle.split(b" "):
        s = (s * BASE + token_hash(word)) & M64
    return s >> 32
