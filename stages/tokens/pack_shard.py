"""Packs one shard: encodes window by window, then writes the rows and what stands in them."""

from __future__ import annotations

import math
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.contract import Context, Result
from stages.tokens.encoder import Encoder
from stages.tokens.packing import Piece, best_fit, cut
from stages.tokens.rows import BIN_SUFFIX, ROWS_SUFFIX
from stages.tokens.tokenizer import END_OF_TEXT

if TYPE_CHECKING:
    import pyarrow as pa

LANGUAGES = 200  # told apart in the facts of a shard; a receipt stays small


class PackWriter:
    """A `ShardWriter`: takes alive documents, holds a window of them as ids, writes rows as windows fill up.

    capacity  tokens of a row, one more than the model's length
    barred    rows of the base that must not be packed
    """

    def __init__(self, ctx: Context, tokenizer: Path, capacity: int, window: int, barred: frozenset[int]) -> None:
        self.ctx, self.capacity, self.window, self.barred = ctx, capacity, window, barred
        self.encoder = Encoder.load(tokenizer)
        self.end = self.encoder.special[END_OF_TEXT]
        self.dtype = np.dtype("<u2" if self.encoder.vocab_size <= 2**16 else "<u4")
        self.counts: Counter[str] = Counter(documents=0, packed=0, cut=0, rows=0, tokens=0, bytes=0, padding=0)
        self.languages: dict[str, list[int]] = {}
        self.waiting: list[dict] = []  # documents of the open window
        self.written: list[pa.Table] = []
        self.files = ExitStack()
        self.rows_file = self.files.enter_context(ctx.create(BIN_SUFFIX)).open("wb")

    def add(self, table: pa.Table) -> None:
        held = table["held_out"].to_pylist() if "held_out" in table.column_names else [False] * table.num_rows
        columns = [name for name in ("_row", "source", "lang", "quality", "weight") if name in table.column_names]
        texts: list[str] = []
        documents: list[dict] = []
        for mark, text, entry in zip(held, table["text"].to_pylist(), table.select(columns).to_pylist(), strict=True):
            self.counts["documents"] += 1
            if mark or entry["_row"] in self.barred:
                self.counts["dropped.held_out"] += 1
            elif not text:
                self.counts["dropped.empty"] += 1
            else:
                texts.append(text)
                documents.append(entry)
        had_failed = self.encoder.differs is not None
        for entry, ids in zip(documents, self.encoder.encode(texts, first=self.counts["packed"]), strict=True):
            self.counts["packed"] += 1
            entry["ids"] = np.concatenate([np.array([self.end], np.uint32), ids]).astype(self.dtype)
            self.waiting.append(entry)
            if len(self.waiting) == self.window:
                self._write_window()
        if self.encoder.differs is not None and not had_failed:
            self.ctx.log("encoder_differs", shard=self.ctx.shard.name, text=self.encoder.differs[:200])

    def _write_window(self) -> None:
        lengths = [len(entry["ids"]) for entry in self.waiting]
        packed = best_fit(cut(lengths, self.capacity), self.capacity)
        rows = np.full((len(packed), self.capacity), self.end, self.dtype)
        for row, pieces in enumerate(packed):
            at = 0
            for document, offset, length in pieces:
                rows[row, at : at + length] = self.waiting[document]["ids"][offset : offset + length]
                at += length
        rows.tofile(self.rows_file)
        used = np.array([sum(piece.length for piece in pieces) for pieces in packed], np.int32)
        self.written.append(self._describe(packed, rows, used))
        assert used.sum() == sum(lengths), "tokens were lost or doubled in packing"
        self.counts["cut"] += sum(length > self.capacity for length in lengths)
        self.counts["rows"] += len(packed)
        self.counts["tokens"] += int(used.sum())
        self.counts["padding"] += len(packed) * self.capacity - int(used.sum())
        for entry in self.waiting:
            size = int(self.encoder.token_bytes[entry["ids"]].sum())
            self.counts["bytes"] += size
            lang = entry.get("lang") or ""
            both = self.languages.setdefault(lang if len(self.languages) < LANGUAGES else "other", [0, 0])
            both[0] += size
            both[1] += len(entry["ids"])
        self.waiting = []

    def _describe(self, packed: list[list[Piece]], rows: np.ndarray, used: np.ndarray) -> pa.Table:
        """`rows.parquet` of a window; its fields are described in `stages.tokens.rows`."""
        import pyarrow as pa

        first = self.counts["rows"]
        starts = [np.cumsum([0, *(piece.length for piece in pieces[:-1])]).tolist() for pieces in packed]
        inside = np.arange(self.capacity) < used[:, None]
        sizes = np.where(inside, self.encoder.token_bytes[rows], 0).sum(axis=1)
        documents = [[self.waiting[piece.document] for piece in pieces] for pieces in packed]
        return pa.table(
            {
                "row": pa.array(range(first, first + len(packed)), pa.int64()),
                "tokens": pa.array(used, pa.int32()),
                "bytes": pa.array(sizes, pa.int64()),
                "doc_row": pa.array([[entry["_row"] for entry in row] for row in documents], pa.list_(pa.int64())),
                "doc_start": pa.array(starts, pa.list_(pa.int32())),
                "doc_offset": pa.array([[piece.offset for piece in row] for row in packed], pa.list_(pa.int32())),
                "doc_tokens": pa.array([[piece.length for piece in row] for row in packed], pa.list_(pa.int32())),
                "doc_source": pa.array(
                    [[entry.get("source") for entry in row] for row in documents], pa.list_(pa.string())
                ),
                "quality": pa.array(
                    [_mean("quality", d, p) for d, p in zip(documents, packed, strict=True)], pa.float32()
                ),
                "log_prior": pa.array([_log_prior(d, p) for d, p in zip(documents, packed, strict=True)], pa.float32()),
            }
        )

    def finish(self) -> Result:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self.waiting or not self.written:
            self._write_window()
        self.rows_file.close()
        table = pa.concat_tables(self.written).replace_schema_metadata(
            {"base": self.ctx.shard.base, "shard": self.ctx.shard.key}
        )
        pq.write_table(table, self.files.enter_context(self.ctx.create(ROWS_SUFFIX)), compression="zstd")
        self.files.close()
        facts = {
            "dtype": self.dtype.name,
            "languages": self.languages,
            "encoder": "kitoken" if self.encoder.differs is None else "tokenizers",
            **({} if self.encoder.differs is None else {"encoder_differs": self.encoder.differs[:200]}),
        }
        return Result(counts=dict(self.counts), facts=facts)


def _mean(column: str, documents: list[dict], pieces: list[Piece]) -> float | None:
    """Mean of a column over a row's documents, by tokens; null when a document has none."""
    values = [entry[column] for entry in documents if entry.get(column) is not None]
    if not values or len(values) < len(documents):
        return None
    tokens = [piece.length for piece in pieces]
    return sum(value * count for value, count in zip(values, tokens, strict=True)) / sum(tokens)


def _log_prior(documents: list[dict], pieces: list[Piece]) -> float:
    """Natural logarithm of the row's prior weight: 0 without a column `weight`."""
    weight = _mean("weight", documents, pieces)
    return 0.0 if weight is None else math.log(max(weight, 1e-30))
