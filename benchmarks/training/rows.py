"""Packed rows of random tokens, whose content plays no part in speed and memory; and trainings outside a graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.files.open_store import file_on_disk
from pipeline.files.stored import StoredFile
from stages.read.read import Read
from stages.tokens.pack import Pack
from stages.tokens.packed_rows import PackedRows
from stages.tokens.tokenizer import Tokenizer
from stages.training.pretrain import Pretrain
from stages.training.row_source import RowSource
from stages.training.training import Training


def training_on(rows: PackedRows, scratch: str, *, start: StoredFile | None = None, **fields: Any) -> Training:
    """A training on rows that were made by hand, by one thread of a CPU. `fields`: those of `pretrain`."""
    docs = Read(paths=("unread",))
    plain = {"micro_batches": 1, "threads": 1, "device": "cpu", "precision": "fp32"}
    node = Pretrain(rows=Pack(docs=docs, tokenizer=Tokenizer(docs=docs)), **(plain | fields))
    sources = (RowSource("rows", rows, 1.0),)
    return Training(node=node, fingerprint="by hand", sources=sources, start=start, scratch=scratch)


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
    files = ((file_on_disk(folder / "a.bin"), file_on_disk(folder / "a.rows.parquet"), rows),)
    return PackedRows(files, length, "uint16", 0, vocab_size)
