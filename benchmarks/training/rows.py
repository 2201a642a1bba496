"""Packed rows of random tokens: what is in them plays no part in speed and memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stages.tokens.packed_rows import PackedRows


def random_rows(folder: Path, *, rows: int, length: int, vocab_size: int, documents: int = 1) -> PackedRows:
    """Full rows, each cut into so many documents of equal length."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = np.random.default_rng(0).integers(1, vocab_size, (rows, length + 1)).astype("<u2")
    starts = [(length + 1) * number // documents for number in range(documents)]
    ids[:, starts] = 0
    ids.tofile(folder / "a.bin")
    columns = {
        "tokens": pa.array(np.full(rows, length + 1), pa.int32()),
        "doc_start": pa.array([starts] * rows, pa.list_(pa.int32())),
    }
    pq.write_table(pa.table(columns), folder / "a.rows.parquet")
    files = ((str(folder / "a.bin"), str(folder / "a.rows.parquet"), rows),)
    return PackedRows(files, length, "uint16", 0, vocab_size)
