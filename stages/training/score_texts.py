"""What a model is scored on: ids, bytes and, of samples, the tokens that count, a table of documents at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from stages.documents import TEXT
from stages.tokens.encoder import Encoder
from stages.tokens.sample import Sample
from stages.tokens.sample_ids import SampleEncoder

if TYPE_CHECKING:
    import pyarrow as pa

    from stages.training.results import TrainedModel


class Texts(NamedTuple):
    """Some documents.

    ids      without the token that begins each
    sizes    bytes of what counts
    learned  which tokens count; None = all
    """

    table: pa.Table
    ids: list[np.ndarray]
    sizes: list[int]
    learned: list[np.ndarray] | None


def documents_in(tables: Iterable[pa.Table], encoder: Encoder) -> Iterator[Texts]:
    """Whole documents."""
    seen = 0
    for table in tables:
        texts = table[TEXT].to_pylist()
        yield Texts(table, encoder.encode(texts, first=seen), [len(text.encode()) for text in texts], None)
        seen += len(texts)


def samples_in(
    tables: Iterable[pa.Table], encoder: Encoder, sample: Sample, run: TrainedModel, skipped: dict[str, int]
) -> Iterator[Texts]:
    """The answers of samples, without the token that ends each; what is no sample, and what does not fit the model, is
    counted in `skipped`.
    """
    samples = SampleEncoder(encoder, sample, run.begin_id, run.config["end_id"])
    most = run.config["length"] + 2  # the last token is predicted and never shown, and the end is left out
    for table in tables:
        rows, ids, sizes, learned = [], [], [], []
        for row, pieces in enumerate(samples.encode(table.select(sample.columns).to_pylist())):
            fit = [] if isinstance(pieces, str) else [piece.cut(most) for piece in pieces]
            if not fit or any(len(piece.ids) > most for piece in fit):
                reason = f"skipped.{pieces if isinstance(pieces, str) else 'too_long'}"
                skipped[reason] = skipped.get(reason, 0) + 1
                continue
            [piece] = fit
            rows.append(row)
            ids.append(piece.ids[1:-1])
            learned.append(piece.learned[1:-1])
            sizes.append(piece.size)
        yield Texts(table.take(rows), ids, sizes, learned)
