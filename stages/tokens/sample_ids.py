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
    size     bytes of the learned text; none of learned ids
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
        texts = [span.text for spans in given for span in spans if not span.special and span.ids is None]
        ids_of = iter(self.encoder.encode(texts, first=self._spans))
        self._spans += len(texts)
        return [
            pieces
            if isinstance(pieces, str)
            else [self._piece(self.sample.roles.index(role), spans, ids_of) for role, spans in pieces.items()]
            for pieces in found
        ]

    def _piece(self, role: int, spans: tuple[Span, ...], ids_of: Iterator[np.ndarray]) -> PieceIds:
        parts, last = [(np.array([self.begin]), False)], spans[-1]
        for span in spans:
            if span.ids is not None:
                ids = self._drawn(span.ids)
            else:
                ids = np.array([self.encoder.special[span.text]]) if span.special else next(ids_of)
            parts.append((ids, span.learned))
        ended = last.ids is None or self.end in last.ids[-1:]
        parts.append((np.array([self.end]), last.learned and ended))
        learned = np.concatenate([np.full(len(ids), learned) for ids, learned in parts])
        size = sum(len(span.text.encode()) for span in spans if span.learned and not span.special)
        return PieceIds(role, np.concatenate([ids for ids, _ in parts]).astype(np.int64), learned, size)

    def _drawn(self, ids: Sequence[int]) -> np.ndarray:
        """Ids that a model drew, without the one that ends a text, which stands behind every piece."""
        found = np.array(ids[:-1] if self.end in ids[-1:] else ids, np.int64)
        if len(found) and not 0 <= int(found.min()) <= int(found.max()) < self.encoder.vocab_size:
            raise DataError(
                "pack_samples.sample", f"the token {int(found.max())}, of a tokenizer of {self.encoder.vocab_size}",
                "tokens of the model that drew them", "pack them with that model's tokenizer",
            )  # fmt: skip
        return found
