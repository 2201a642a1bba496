"""Packed rows made by hand, for tests of the loop that need no engine."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stages.tokens.packed_rows import PackedRows


def made_rows(folder, *, rows=64, length=16, vocab_size=50, seed=0, ragged=True):
    """Rows of random documents over a small vocabulary, as the pack node lays them down."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    # a skewed law of tokens, so that there is something to learn
    ids = rng.zipf(1.5, (rows, length + 1)).clip(1, vocab_size - 1).astype("<u2")
    ids[:, 0] = 0
    used = np.full(rows, length + 1)
    starts = [[0] for _ in range(rows)]
    if ragged:
        used = rng.integers(length // 2, length + 2, rows)
        for row, count in enumerate(used):
            ids[row, count:] = 0
            starts[row].append(int(rng.integers(1, count)))
            ids[row, starts[row][1]] = 0
    ids.tofile(folder / "a.bin")
    columns = {
        "tokens": pa.array(used, pa.int32()),
        "doc_start": pa.array(starts, pa.list_(pa.int32())),
    }
    pq.write_table(pa.table(columns), folder / "a.rows.parquet")
    return PackedRows(((str(folder / "a.bin"), str(folder / "a.rows.parquet"), rows),), length, "uint16", 0, vocab_size)
