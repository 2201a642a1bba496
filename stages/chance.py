"""Random choices that are functions of a seed and an id: the same for every worker count, order and restart.

A draw is the first 8 bytes of BLAKE2b (RFC 7693) of the id, keyed by seed and purpose. Two choices with
different purposes are independent, so a document's side of the split says nothing about its place in a
sample.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

WHOLE = 2**64


def draws(ids: Iterable[str], seed: int, purpose: str) -> np.ndarray:
    """One uint64 per id, uniform over [0, 2^64)."""
    import numpy as np

    key = hashlib.blake2b(f"{purpose}:{seed}".encode(), digest_size=32)
    keyed = hashlib.blake2b(key=key.digest(), digest_size=8)

    def draw(name: str) -> bytes:
        state = keyed.copy()
        state.update(name.encode())
        return state.digest()

    return np.frombuffer(b"".join([draw(name) for name in ids]), dtype="<u8")


def share_limit(share: float) -> int:
    """Draws below this number are a `share` of all draws."""
    return round(share * WHOLE)
