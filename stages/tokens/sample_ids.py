"""Samples as ids: every span is tokenised by itself, and the tokens are joined."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pipeline.errors import DataError
from stages.tokens.encoder import Encoder
from stages.tokens.sample import Sample, Span


class PieceIds(NamedTuple):
    """A piece of a sample.

    role     its place in `Sample.roles`
    ids      int64, between the tokens that begin and end a text
    learned  bool, which of them are learned
    size     bytes of the learned text
    """

    role: int
    ids: np.ndarray
    learned: np.ndarray
    size: int

    def cut(self, most: int) -> PieceIds:
        """Without as many tokens before the first learned one as there are above `most`, where there are so many."""
        over = max(0, len(self.ids) - most)
        if not over or over > int(self.learned.argmax()) - 1:
            return self
        gone = slice(1, 1 + over)
        return self._replace(ids=np.delete(self.ids, gone), learned=np.delete(self.learned, gone))


class SampleEncoder:
    """Encodes samples of one kind, which stand between `begin` and `end`."""

    def __init__(self, encoder: Encoder, sample: Sample, begin: int, end: int) -> None:
        self.encoder, self.sample, self.begin, self.end = encoder, sample, begin, end
        self._spans = 0  # encoded so far
        if missing := [name for name in sample.needs if name not in encoder.special]:
            raise DataError(
                "a tokenizer of samples",
                f"none of {', '.join(missing)} in it",
                "their ids",
                "tokenizer with `specials`",
            )

    def encode(self, rows: Sequence[Mapping[str, Any]]) -> list[list[PieceIds] | str]:
        """The pieces of each row, or the reason why it is no sample."""
        found = [self.sample.pieces(row) for row in rows]
        given = [spans for pieces in found if not isinstance(pieces, str) for spans in pieces.values()]
        texts = [span.text for spans in given for span in spans if not span.special]
        ids_of = iter(self.encoder.encode(texts, first=self._spans))
        self._spans += len(texts)
        return [
            pieces
            if isinstance(pieces, str)
            else [self._piece(self.sample.roles.index(role), spans, ids_of) for role, spans in pieces.items()]
            for pieces in found
        ]

    def _piece(self, role: int, spans: tuple[Span, ...], ids_of: Iterator[np.ndarray]) -> PieceIds:
        parts = [(np.array([self.begin]), False)]
        for span in spans:
            ids = np.array([self.encoder.special[span.text]]) if span.special else next(ids_of)
            parts.append((ids, span.learned))
        parts.append((np.array([self.end]), spans[-1].learned))
        learned = np.concatenate([np.full(len(ids), learned) for ids, learned in parts])
        size = sum(len(span.text.encode()) for span in spans if span.learned and not span.special)
        return PieceIds(role, np.concatenate([ids for ids, _ in parts]).astype(np.int64), learned, size)
