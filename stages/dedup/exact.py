"""Exact copies of documents: one 128-bit hash each, through the same exchange as `minhash_dedup`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from stages.dedup.node import CopyDedup

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True, eq=False)
class ExactDedup(CopyDedup):
    """Keep one of every group of equal documents.

    match  `bytes`: the same bytes; `words`: the same sequence of lower-cased words, whatever lies between them

    Empty documents (without words, for `words`) are kept. Adds `exact_duplicate_of` (id of the kept document) and
    `exact_copies` (documents in the group); removes with `exact_dedup.copy`, value = documents in the group.
    """

    match: Literal["bytes", "words"] = "bytes"

    version = 6
    hash_fields = ("match",)

    def hashed(self, table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
        from stages.hashing.sketch import byte_hashes, sketch

        if self.match == "bytes":
            return byte_hashes(table["text"])
        found = sketch(table["text"], keys=False)
        return found.exact, found.words
