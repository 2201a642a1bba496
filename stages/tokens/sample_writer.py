"""Pack the samples of one shard: encode their spans, and say which places are learned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.contract import Context
from pipeline.errors import DataError
from stages.tokens.pack_shard import PackWriter
from stages.tokens.packing import Piece
from stages.tokens.sample import Sample, Span

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
        self.sample, self.learn_all, self.cut_long = sample, learn_all, cut_long
        self.spans = 0  # encoded so far
        if missing := [name for name in sample.needs if name not in self.encoder.special]:
            raise DataError(
                "pack_samples.tokenizer", f"a tokenizer without {', '.join(missing)}", "one that reserves them",
                "tokenizer with `specials`",
            )  # fmt: skip

    def encoded(self, entries: list[dict]) -> Iterator[dict]:
        found = []
        for entry in entries:
            pieces = self.sample.pieces(entry)
            if isinstance(pieces, str):
                self.counts[f"dropped.{pieces}"] += 1
            else:
                found.append((entry, pieces))
        texts = [span.text for _, pieces in found for spans in pieces.values() for span in spans if not span.special]
        ids_of = iter(self.encoder.encode(texts, first=self.spans))
        self.spans += len(texts)
        for entry, pieces in found:
            for name in self.sample.columns:
                if name not in self.carry:
                    del entry[name]
            made = [self._piece(spans, ids_of) for spans in pieces.values()]
            if self.cut_long and len(made) == 1:
                made = [self._cut(*made[0])]
            entry["ids"], entry["learn"] = (np.concatenate(parts) for parts in zip(*made, strict=True))
            entry["pieces"] = [
                (self.sample.roles.index(role), len(ids)) for role, (ids, _) in zip(pieces, made, strict=True)
            ]
            if len(entry["ids"]) > self.capacity:
                self.counts["dropped.too_long"] += 1
                continue
            self.counts["text_tokens"] += len(entry["ids"]) - 2 * len(made)
            yield entry

    def _piece(self, spans: tuple[Span, ...], ids_of: Iterator[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Ids of a piece, and which of them are learned."""
        parts = [(np.array([self.begin]), False)]
        for span in spans:
            ids = np.array([self.encoder.special[span.text]]) if span.special else next(ids_of)
            parts.append((ids, span.learned or self.learn_all))
        parts.append((np.array([self.end]), spans[-1].learned or self.learn_all))
        ids = np.concatenate([ids for ids, _ in parts]).astype(self.dtype)
        return ids, np.concatenate([np.full(len(ids), learned) for ids, learned in parts])

    def _cut(self, ids: np.ndarray, learn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Without as many tokens before the first learned one as there are too many, if there are so many."""
        over = max(0, len(ids) - self.capacity)
        if not over or over > int(learn.argmax()) - 1:
            return ids, learn
        self.counts["cut"] += 1
        return np.delete(ids, slice(1, 1 + over)), np.delete(learn, slice(1, 1 + over))

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
