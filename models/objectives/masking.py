"""Which tokens a masked language model predicts: independent draws, the same for every batch, process and restart.

Each token of a row is masked with probability `share`, always by the mask token (Gisserot-Boukhlef et al. 2025, arXiv
2507.00994, after EuroBERT: no token is replaced by a random one, none is left as it is). The label stands at the
masked place itself: predictions are not shifted.

A draw is a function of (seed, row number, epoch, place), so it comes from a counter-based generator (Philox 4x64) and
from its raw words: numpy promises those for all versions, and its distributions for none.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

IGNORE = -100


def uniforms(key: str, count: int) -> np.ndarray:
    """float64 `[count]` in [0, 1), a function of the key alone."""
    import numpy as np

    digest = hashlib.blake2b(key.encode(), digest_size=16).digest()
    words = np.random.Philox(key=np.frombuffer(digest, "<u8")).random_raw(count)
    return (words >> np.uint64(11)) * 2.0**-53


def mask_tokens(
    ids_t: np.ndarray, maskable_t: np.ndarray, share: float, mask_id: int, key: str
) -> tuple[np.ndarray, np.ndarray]:
    """(ids with masks, labels), both `[t]`: a label is the token that a mask hides, elsewhere `IGNORE`.

    `maskable_t` bool: false for special tokens and for filling. `key` names seed, row and epoch.
    """
    import numpy as np

    chosen_t = (uniforms(key, len(ids_t)) < share) & maskable_t
    return np.where(chosen_t, mask_id, ids_t), np.where(chosen_t, ids_t, IGNORE)
