"""One micro-batch as the model sees it, whatever objective, collator or order it came from.

Letters: b rows, t places of a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from models.dropout import Dropout
    from models.neftune import EmbeddingNoise

Attention = Literal["causal", "prefix", "bidirectional"]


def document_pieces(segments_bt: Tensor) -> tuple[tuple[int, int, int], ...]:
    """(row, start, end) of every run of equal segments, in order."""
    import numpy as np

    segments = segments_bt.cpu().numpy()
    begins = np.ones(segments.shape, bool)
    begins[:, 1:] = segments[:, 1:] != segments[:, :-1]
    rows, starts = np.nonzero(begins)
    last = np.append(rows[1:] != rows[:-1], True)
    ends = np.where(last, segments.shape[1], np.append(starts[1:], 0))
    return tuple(zip(rows.tolist(), starts.tolist(), ends.tolist(), strict=True))


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Rows of ids with what belongs to them. Only `ids_bt` is needed for logits, and `labels_bt` for losses.

    ids_bt        int64
    labels_bt     int64, what each place has to predict, `models.losses.IGNORE` where nothing. Shifted or not: that is
                  the collator's business, so no loss shifts
    documents_bt  int64, number of the document of each place inside its row, 0 = filling
    cut           whether attention stays inside a document
    attention     "causal"; "bidirectional"; "prefix": bidirectional between places where `prefix_bt` is true, causal
                  elsewhere
    prefix_bt     bool, for `attention="prefix"`: the first places of a document
    objective_b   int64, a number for each kind of row when a collator mixes several kinds
    rows_b        int64, global row numbers: sources count one after another
    log_prior_b   float32, logarithm of each row's prior weight
    columns       carried columns: name -> float64 [b], the mean over the tokens of the row
    pieces        the same columns by document, where documents are weighted: name -> float64 [b, d], document 1 of each
                  row first, NaN behind its last one
    groups_bd     int64 [b, d], of samples: the group of each document of a row, from 1, and 0 behind its last one
    roles_bd      int64 [b, d], what each document is in its group
    noise         noise on the embeddings, in training alone
    dropout       what blocks leave out, in training alone
    runs          (row, start, end) of every run of equal segments, in order, where they were counted on the host
    """

    ids_bt: Tensor
    labels_bt: Tensor | None = None
    documents_bt: Tensor | None = None
    cut: bool = False
    attention: Attention = "causal"
    prefix_bt: Tensor | None = None
    objective_b: Tensor | None = None
    rows_b: Tensor | None = None
    log_prior_b: Tensor | None = None
    columns: Mapping[str, Tensor] = field(default_factory=dict)
    pieces: Mapping[str, Tensor] = field(default_factory=dict)
    groups_bd: Tensor | None = None
    roles_bd: Tensor | None = None
    noise: EmbeddingNoise | None = None
    dropout: Dropout | None = None
    runs: tuple[tuple[int, int, int], ...] | None = None

    @property
    def segments_bt(self) -> Tensor | None:
        """The documents that attention stays inside of; None when it does not."""
        return self.documents_bt if self.cut else None

    def segment_runs(self) -> tuple[tuple[int, int, int], ...]:
        """(row, start, end) of every run of equal segments, in order."""
        if self.runs is not None:
            return self.runs
        assert self.segments_bt is not None
        return document_pieces(self.segments_bt)

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device; from pinned memory the copy runs beside the device's work. What the host has to
        know of it is counted before: later it would wait for all that the device has still to do.
        """
        if self.ids_bt.device == device:
            return self
        runs = self.segment_runs() if self.segments_bt is not None else None
        moved = {
            name: value.to(device, non_blocking=True)
            for name, value in vars(self).items()
            if value is not None and hasattr(value, "device")
        }
        mappings = ("columns", "pieces")
        for part in mappings:
            moved[part] = {name: value.to(device, non_blocking=True) for name, value in getattr(self, part).items()}
        return Batch(**{**vars(self), **moved, "runs": runs})
