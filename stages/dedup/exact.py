"""Exact copies of documents: one 128-bit hash each, through the same exchange as `minhash_dedup`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from stages.dedup.method import Hashes, Members, Verdict
from stages.dedup.node import DedupNode

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True, eq=False)
class ExactDedup(DedupNode):
    """Keep one of every group of equal documents.

    match  `bytes`: the same bytes; `words`: the same sequence of lower-cased words, whatever lies between them

    Empty documents (without words, for `words`) are kept. Adds `exact_duplicate_of` (id of the kept document) and
    `exact_copies` (documents in the group); removes with `exact_dedup.copy`, value = documents in the group.
    """

    match: Literal["bytes", "words"] = "bytes"

    version = 6
    copy = "exact_dedup.copy"
    reasons = (copy,)
    hash_fields = ("match",)

    def hasher(self) -> Callable[[pa.Table], Hashes]:
        import numpy as np

        from stages.hashing.sketch import byte_hashes, sketch

        def hashes(table: pa.Table) -> Hashes:
            if self.match == "bytes":
                exact, size = byte_hashes(table["text"])
            else:
                found = sketch(table["text"], keys=False)
                exact, size = found.exact, found.words
            return Hashes(exact[:, :1], exact, np.empty((len(table), 0), np.uint32), size > 0)

        return hashes

    def judge(self, members: Members, order: np.ndarray) -> Verdict:
        from stages.dedup.anchors import judge_copies

        return judge_copies(members.starts, order, members.exact, pinned=members.old)

    def keys_per_document(self) -> int:
        return 1

    def columns(self) -> Mapping[str, str]:
        return {"duplicate_of": "exact_duplicate_of", "cluster_size": "exact_copies"}
