"""Pack documents whose ids stand in a column: nothing is encoded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from pipeline.contract import Context
from pipeline.errors import DataError
from stages.tokens.pack_shard import PackWriter


class IdsWriter(PackWriter):
    """A writer of rows of ids that a column holds."""

    def __init__(
        self,
        ctx: Context,
        tokenizer: Path,
        capacity: int,
        window: int,
        barred: frozenset[int],
        carry: Mapping[str, bool],
        half: int | None,
        *,
        column: str,
    ) -> None:
        super().__init__(ctx, tokenizer, capacity, window, barred, carry, half)
        self.column = column
        specials = np.fromiter(self.encoder.special.values(), np.int64)
        self.usable = np.setdiff1d(np.arange(self.encoder.vocab_size), specials)

    def encoded(self, entries: list[dict]) -> Iterator[dict]:
        for entry in entries:
            ids = np.array(entry.pop(self.column) or [], np.int64)
            if not len(ids):
                self.counts["dropped.empty"] += 1
                continue
            if len(odd := ids[~np.isin(ids, self.usable)]):
                raise DataError(
                    f"pack.ids: {self.column}, row {entry['_row']} of {self.ctx.shard.name}", f"the id {int(odd[0])}",
                    f"ids of the vocabulary that are no special tokens: {len(self.usable)} of them",
                    "a vocabulary of another size",
                )  # fmt: skip
            self.counts["text_tokens"] += len(ids)
            entry["ids"] = np.concatenate([[self.begin], ids, [self.end]]).astype(self.dtype)
            yield entry
