"""A keyed order of n things without a stored list: every element is computed from its place, and every place from its
element.

The permutation is a balanced Feistel network (Luby and Rackoff 1988) over the smallest even power of two that holds n.
A result outside [0, n) is encrypted again until it lies inside (cycle walking, Black and Rogaway 2002). The network is
not cryptographic: its round function is the finaliser of splitmix64.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

ROUNDS = 6


@dataclass(frozen=True)
class Permutation:
    """A keyed permutation of [0, n); equal keys give equal permutations on every machine."""

    n: int
    key: str

    @cached_property
    def _half(self) -> int:
        """Bits of one half of the network; at least one."""
        return max(1, ((self.n - 1).bit_length() + 1) // 2)

    @cached_property
    def _round_keys(self) -> list[np.uint64]:
        digest = hashlib.blake2b(self.key.encode(), digest_size=8 * ROUNDS).digest()
        return [np.uint64(word) for word in np.frombuffer(digest, "<u8")]

    def forward(self, places: np.ndarray) -> np.ndarray:
        """The element at each place: int64 in, int64 out, both in [0, n)."""
        return self._walk(places, self._encrypt)

    def inverse(self, elements: np.ndarray) -> np.ndarray:
        """The place of each element."""
        return self._walk(elements, self._decrypt)

    def _walk(self, values: np.ndarray, step) -> np.ndarray:
        out = step(np.asarray(values, np.int64).astype(np.uint64))
        outside = np.flatnonzero(out >= self.n)
        while len(outside):
            out[outside] = step(out[outside])
            outside = outside[out[outside] >= self.n]
        return out.astype(np.int64)

    def _encrypt(self, values: np.ndarray) -> np.ndarray:
        shift, mask = np.uint64(self._half), np.uint64((1 << self._half) - 1)
        left, right = values >> shift, values & mask
        for key in self._round_keys:
            left, right = right, left ^ (_mix(right ^ key) & mask)
        return (left << shift) | right

    def _decrypt(self, values: np.ndarray) -> np.ndarray:
        shift, mask = np.uint64(self._half), np.uint64((1 << self._half) - 1)
        left, right = values >> shift, values & mask
        for key in reversed(self._round_keys):
            left, right = right ^ (_mix(left ^ key) & mask), left
        return (left << shift) | right


def _mix(values: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014), element by element on uint64."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
