"""One source of rows of a training."""

from __future__ import annotations

from dataclasses import dataclass

from stages.tokens.packed_rows import PackedRows


@dataclass(frozen=True)
class RowSource:
    """One pack node of a mixture: its fingerprint, its rows, its share of the tokens seen. Of a stream the only one,
    with `stages.training.stream_rows.StreamedRows` in the place of its rows.
    """

    name: str
    rows: PackedRows
    share: float
