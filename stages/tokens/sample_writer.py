"""Pack the samples of one shard, and say which places of its rows are learned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.contract import Context
from stages.tokens.pack_shard import PackWriter
from stages.tokens.packing import Piece
from stages.tokens.sample import Sample
from stages.tokens.sample_ids import SampleEncoder

if TYPE_CHECKING:
    import pyarrow as pa


class SampleWriter(PackWriter):
    """A writer of rows of samples. An entry of its window is a group: the ids of its pieces one after another, which of
    them are learned, and role and length of each piece.
    """

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
        sample: Sample,
        learn_all: bool,
        cut_long: bool,
    ) -> None:
        super().__init__(ctx, tokenizer, capacity, window, barred, carry, half)
        self.samples = SampleEncoder(self.encoder, sample, self.begin, self.end)
        self.learn_all, self.cut_long = learn_all, cut_long

    def encoded(self, entries: list[dict]) -> Iterator[dict]:
        for entry, pieces in zip(entries, self.samples.encode(entries), strict=True):
            if isinstance(pieces, str):
                self.counts[f"dropped.{pieces}"] += 1
                continue
            for name in self.samples.sample.columns:
                if name not in self.carry:
                    del entry[name]
            whole = sum(len(piece.ids) for piece in pieces)
            if self.cut_long and len(pieces) == 1:
                pieces = [pieces[0].cut(self.capacity)]
            tokens = sum(len(piece.ids) for piece in pieces)
            if tokens > self.capacity:
                self.counts["dropped.too_long"] += 1
                continue
            self.counts["cut"] += tokens < whole
            self.counts["text_tokens"] += tokens - 2 * len(pieces)
            entry["ids"] = np.concatenate([piece.ids for piece in pieces]).astype(self.dtype)
            entry["learn"] = np.concatenate(
                [np.arange(len(piece.ids)) > 0 if self.learn_all else piece.learned for piece in pieces]
            )
            entry["pieces"] = [(piece.role, len(piece.ids)) for piece in pieces]
            yield entry

    def pieces(self, packed: list[list[Piece]]) -> list[list[Piece]]:
        found = []
        for row in packed:
            found.append([])
            for group in row:
                at = 0
                for _, length in self.waiting[group.document]["pieces"]:
                    found[-1].append(Piece(group.document, at, length))
                    at += length
        return found

    def more_columns(self, packed: list[list[Piece]]) -> dict[str, pa.Array]:
        import pyarrow as pa

        groups, roles, learned = [], [], []
        for row in packed:
            entries = [self.waiting[group.document] for group in row]
            groups.append([number for number, entry in enumerate(entries, 1) for _ in entry["pieces"]])
            roles.append([role for entry in entries for role, _ in entry["pieces"]])
            learned.append(_runs(np.concatenate([np.zeros(0, bool), *(entry["learn"] for entry in entries)])))
        numbers = pa.list_(pa.int32())
        return {
            "sample_group": pa.array(groups, numbers),
            "sample_role": pa.array(roles, numbers),
            "sample_learned": pa.array(learned, numbers),
        }


def _runs(marks: np.ndarray) -> list[int]:
    """Starts and ends, in turn, of the runs of true marks."""
    return np.flatnonzero(np.diff(np.concatenate([[False], marks, [False]]).astype(np.int8))).tolist()
