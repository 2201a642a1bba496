"""Plain loss and bits per byte of documents.

Independent of how a model was trained: unweighted cross-entropy, every token of every document predicted
once, from its own document alone (attention is cut at documents), so a document's numbers depend on no
other document. A document longer than the model's length is cut into pieces that overlap by the one token
which the next piece starts from; context does not reach over a cut. Bits per byte count the bytes of the
text and the tokens that stand for them; the end of a document is no byte. Of a sample the learned tokens alone count.

Letters: b rows, t places.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from models.batch import Batch
from models.llama import LlamaModel
from models.losses import IGNORE
from models.objective import CROSS_ENTROPY
from stages.tokens.packing import Piece, best_fit


@dataclass(frozen=True)
class DocumentLosses:
    """Per document, in the order given: nats float64, tokens and bytes int64."""

    nats: np.ndarray
    tokens: np.ndarray
    bytes: np.ndarray

    @property
    def bits_per_byte(self) -> float:
        return float(self.nats.sum() / math.log(2) / max(1, self.bytes.sum()))

    @property
    def loss(self) -> float:
        """Nats per token."""
        return float(self.nats.sum() / max(1, self.tokens.sum()))

    def where(self, mask: np.ndarray) -> DocumentLosses:
        return DocumentLosses(self.nats[mask], self.tokens[mask], self.bytes[mask])


def score_documents(
    model: LlamaModel,
    documents: Sequence[np.ndarray],
    sizes: Sequence[int],
    begin_id: int,
    batch_rows: int,
    learned: Sequence[np.ndarray] | None = None,
) -> DocumentLosses:
    """Losses of documents given as ids (without the special token that begins each), and bytes of text. `learned`: the
    tokens of each that count, in place of all.
    """
    length = model.max_length
    ids = [np.concatenate([[begin_id], document]).astype(np.int64) for document in documents]
    pieces = [
        Piece(document, offset, min(length + 1, len(tokens) - offset))
        for document, tokens in enumerate(ids)
        for offset in range(0, max(1, len(tokens) - 1), length)
    ]
    asked = ids
    if learned is not None:
        asked = [np.where(np.append(False, marks), one, IGNORE) for marks, one in zip(learned, ids, strict=True)]
    rows = best_fit(pieces, length + 1)
    nats = np.zeros(len(ids))
    for start in range(0, len(rows), batch_rows):
        _score_rows(model, rows[start : start + batch_rows], ids, asked, nats)
    tokens = np.array([(one[1:] != IGNORE).sum() for one in asked], np.int64)
    return DocumentLosses(nats, tokens, np.array(sizes, np.int64))


@torch.no_grad()
def _score_rows(
    model: LlamaModel, rows: list[list[Piece]], ids: list[np.ndarray], asked: list[np.ndarray], nats: np.ndarray
) -> None:
    """Adds the losses of the pieces of some rows to their documents; `asked`: the ids, `IGNORE` where none counts."""
    length = model.max_length
    inputs, labels = np.zeros((len(rows), length), np.int64), np.full((len(rows), length), IGNORE, np.int64)
    segments = np.zeros((len(rows), length), np.int64)
    places: list[tuple[int, int, Piece]] = []
    for row, pieces in enumerate(rows):
        at = 0
        for number, piece in enumerate(pieces):
            here = slice(piece.offset, piece.offset + piece.length)
            text = ids[piece.document][here]
            shown = min(piece.length, length - at)
            inputs[row, at : at + shown] = text[:shown]
            labels[row, at : at + piece.length - 1] = asked[piece.document][here][1:]
            segments[row, at:] = number
            places.append((row, at, piece))
            at += piece.length
    batch = Batch(
        ids_bt=torch.from_numpy(inputs),
        labels_bt=torch.from_numpy(labels),
        documents_bt=torch.from_numpy(segments),
        cut=True,
    )
    losses_bt = model(batch, CROSS_ENTROPY).score_bt.double().numpy()
    for row, at, piece in places:
        nats[piece.document] += losses_bt[row, at : at + piece.length - 1].sum()
