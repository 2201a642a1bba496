"""Packed rows made by hand, and trainings over them, for tests of the loop that need no engine."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.files.open_store import file_on_disk
from pipeline.fingerprint import digest, node_form
from stages.read.read import Read
from stages.tokens.pack import Pack
from stages.tokens.packed_rows import PackedRows
from stages.tokens.tokenizer import Tokenizer
from stages.training.pretrain import Pretrain
from stages.training.training import Training

OWN = {field.name for field in dataclasses.fields(Training)}


def declared(**fields):
    """A `pretrain` whose pack node is never run: its rows are made by hand."""
    docs = Read(paths=("unread",))
    return Pretrain(rows=Pack(docs=docs, tokenizer=Tokenizer(docs=docs)), **fields)


def fingerprint_of(node):
    """The node's own part of its fingerprint."""
    return digest(node_form(node, lambda one: one.kind(), {}))


def changed(training, **changes):
    """The training with other values of its own, or of its node, which then has another fingerprint."""
    own = {name: changes.pop(name) for name in OWN & set(changes)}
    if changes:
        own["node"] = dataclasses.replace(training.node, **changes)
        if "fingerprint" not in own:
            own["fingerprint"] = fingerprint_of(own["node"])
    return dataclasses.replace(training, **own)


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
    return PackedRows(
        ((file_on_disk(folder / "a.bin"), file_on_disk(folder / "a.rows.parquet"), rows),),
        length,
        "uint16",
        0,
        vocab_size,
    )
