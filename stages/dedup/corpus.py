"""The rows that a dedup compares, counted through: those of earlier corpora first, so that they win every tie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.contract import Context, Of, Shard
from pipeline.errors import DataError
from stages.dedup.rows import first_rows

KEYS = "keys"  # the phase that writes one set of key files per shard


@dataclass(frozen=True)
class Corpus:
    """Shard i holds the dense rows first[i] to first[i + 1]; node `of[i]` made its key files (None: our own)."""

    shards: tuple[Shard, ...]
    of: tuple[Of, ...]
    first: np.ndarray

    @property
    def rows(self) -> int:
        return int(self.first[-1])

    @property
    def old(self) -> int:
        """Rows below this number belong to earlier corpora."""
        return int(self.first[sum(of is not None for of in self.of)])


def corpus(ctx: Context) -> Corpus:
    """The corpus of a dedup node; DataError when documents are to be compared with themselves."""
    earlier = getattr(ctx.node, "against", ())
    parts: list[tuple[Shard, Of]] = []
    for i in range(len(earlier)):
        parts += [(shard, ("against", i)) for shard in ctx.shards(("against", i))]
    parts += [(shard, None) for shard in ctx.shards("docs")]
    names = [shard.name for shard, _ in parts]
    if len(set(names)) < len(names):
        raise DataError(
            f"{ctx.node.kind()}.against",
            "the same base documents as in `docs`, or the same twice",
            "earlier dedup nodes over other documents",
        )
    return Corpus(
        tuple(shard for shard, _ in parts), tuple(of for _, of in parts), first_rows(s.rows for s, _ in parts)
    )
