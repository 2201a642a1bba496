"""Pack one shard: encode the documents, fill rows window by window, and write the contents of each row."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.contract import Context, Result
from stages.documents import HALF, HELD_OUT, LOG_PRIOR
from stages.number_columns import numbers_of
from stages.tokens.encoder import Encoder
from stages.tokens.packed_rows import BIN_SUFFIX, ROWS_SUFFIX
from stages.tokens.packing import Piece, best_fit, cut
from stages.tokens.tokenizer import agree, ends_of

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN = 200  # characters of a document in events and facts
LANGUAGES = 200  # told apart in the facts of a shard; a receipt stays small


class PackWriter:
    """A `ShardWriter` that collects a window of documents as ids and writes rows whenever the window is full.

    capacity  tokens of a row, one more than the model's length
    barred    rows of the base that must not be packed
    carry     columns of the documents that go into `rows.parquet` -> whether they are numbers
    half      the half of the documents that is packed; None = both
    """

    def __init__(
        self,
        ctx: Context,
        tokenizer: Path,
        capacity: int,
        window: int,
        barred: frozenset[int] = frozenset(),
        carry: Mapping[str, bool] = MappingProxyType({}),
        half: int | None = None,
    ) -> None:
        self.ctx, self.capacity, self.window, self.barred, self.carry = ctx, capacity, window, barred, carry
        self.half = half
        self.encoder, ends = Encoder.load(tokenizer, agree(ctx)), ends_of(ctx)
        self.begin, self.end = self.encoder.special[ends.begin], self.encoder.special[ends.end]
        self.dtype = np.dtype("<u2" if self.encoder.vocab_size <= 2**16 else "<u4")
        self.counts: Counter[str] = Counter(
            documents=0, packed=0, cut=0, rows=0, tokens=0, text_tokens=0, bytes=0, padding=0
        )
        self.languages: dict[str, list[int]] = {}
        self.waiting: list[dict] = []  # documents of the open window
        self.written: list[pa.Table] = []
        self.files = ExitStack()
        self.rows_file = self.files.enter_context(ctx.create(BIN_SUFFIX)).open("wb")

    def add(self, table: pa.Table) -> None:
        import pyarrow as pa

        held = table["held_out"].to_pylist() if "held_out" in table.column_names else [False] * table.num_rows
        columns = [name for name in table.column_names if name not in (HELD_OUT, HALF) or name in self.carry]
        halves = [self.half] * table.num_rows if self.half is None else table[HALF].to_pylist()
        for name in (name for name, is_number in self.carry.items() if is_number):
            # -inf is the logarithm of weight 0
            values = numbers_of(table, name, f"pack.carry over {self.ctx.shard.name}", -math.inf)
            table = table.set_column(table.column_names.index(name), name, pa.array(values, from_pandas=True))
        kept: list[dict] = []
        for mark, half, entry in zip(held, halves, table.select(columns).to_pylist(), strict=True):
            self.counts["documents"] += 1
            if mark or entry["_row"] in self.barred:
                self.counts["dropped.held_out"] += 1
            elif half != self.half:
                self.counts["dropped.other_half"] += 1
            else:
                kept.append(entry)
        differing = self.encoder.differing
        for entry in self.encoded(kept):
            self.counts["packed"] += 1
            self.waiting.append(entry)
            if len(self.waiting) == self.window:
                self._write_window()
        if self.encoder.differing > differing:
            self.ctx.log(
                "encoders_differ",
                shard=self.ctx.shard.name,
                documents=self.encoder.differing,
                first=(self.encoder.differs or "")[:SHOWN],
                all_by_tokenizers_now=self.encoder.is_reference,
            )

    def encoded(self, entries: list[dict]) -> Iterator[dict]:
        """The entries that are packed, with their `ids`; the others are counted by reason."""
        kept = [entry for entry in entries if entry["text"]]
        if empty := len(entries) - len(kept):
            self.counts["dropped.empty"] += empty
        texts = [entry.pop("text") for entry in kept]
        for entry, ids in zip(kept, self.encoder.encode(texts, first=self.counts["packed"]), strict=True):
            self.counts["text_tokens"] += len(ids)
            entry["ids"] = np.concatenate([[self.begin], ids, [self.end]]).astype(self.dtype)
            yield entry

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
            both = self.languages.setdefault(
                lang if lang in self.languages or len(self.languages) < LANGUAGES else "other", [0, 0]
            )
            both[0] += size
            both[1] += len(entry["ids"])
        self.waiting = []

    def _describe(self, packed: list[list[Piece]], rows: np.ndarray, used: np.ndarray) -> pa.Table:
        """The lines of `rows.parquet` for a window; `stages.tokens.packed_rows` describes the fields."""
        import pyarrow as pa

        first = self.counts["rows"]
        laid = self.pieces(packed)
        starts = [np.cumsum([0, *(piece.length for piece in pieces[:-1])]).tolist() for pieces in laid]
        inside = np.arange(self.capacity) < used[:, None]
        sizes = np.where(inside, self.encoder.token_bytes[rows], 0).sum(axis=1)
        pieces = [[(self.waiting[piece.document], piece) for piece in row] for row in laid]

        def of_pieces(kind: pa.DataType, value: Callable[[dict, Piece], Any]) -> pa.Array:
            return pa.array([[value(entry, piece) for entry, piece in row] for row in pieces], pa.list_(kind))

        columns = {
            "row": pa.array(range(first, first + len(packed)), pa.int64()),
            "tokens": pa.array(used, pa.int32()),
            "bytes": pa.array(sizes, pa.int64()),
            "doc_row": of_pieces(pa.int64(), lambda entry, piece: entry["_row"]),
            "doc_start": pa.array(starts, pa.list_(pa.int32())),
            "doc_offset": of_pieces(pa.int32(), lambda entry, piece: piece.offset),
            "doc_tokens": of_pieces(pa.int32(), lambda entry, piece: piece.length),
            "doc_source": of_pieces(pa.string(), lambda entry, piece: entry.get("source")),
        }
        for name, is_number in self.carry.items():
            kind = pa.float64() if is_number else pa.string()
            columns[f"doc_{name}"] = of_pieces(kind, lambda entry, piece, name=name: entry[name])
            if is_number:
                columns[name] = pa.array([_mean(name, row) for row in pieces], pa.float64())
        return pa.table(columns | self.more_columns(packed))

    def pieces(self, packed: list[list[Piece]]) -> list[list[Piece]]:
        """The pieces of the rows of a window, by row, of what was packed there."""
        return packed

    def more_columns(self, packed: list[list[Piece]]) -> dict[str, pa.Array]:
        """Further columns of `rows.parquet` for the rows of a window."""
        return {}

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
        self.counts["encoders_differ"] = self.encoder.differing
        facts = {
            "dtype": self.dtype.name,
            "languages": self.languages,
            "encoder": "tokenizers" if self.encoder.is_reference else "kitoken",
            **({} if self.encoder.differs is None else {"encoders_differ_on": self.encoder.differs[:SHOWN]}),
        }
        return Result(counts=dict(self.counts), facts=facts)


def _mean(column: str, pieces: list[tuple[dict, Piece]]) -> float | None:
    """The mean of a column over the tokens of a row, or None when one of its documents has no value."""
    if any(entry[column] is None for entry, _ in pieces):
        return None
    tokens = sum(piece.length for _, piece in pieces)
    if column == LOG_PRIOR:
        # the mean of the weights themselves, so that a source's rows weigh together what its documents do
        highest = max(entry[column] for entry, _ in pieces)
        if highest == -math.inf:
            return highest
        weight = sum(math.exp(entry[column] - highest) * piece.length for entry, piece in pieces) / tokens
        return highest + math.log(weight)
    return sum(entry[column] * piece.length for entry, piece in pieces) / tokens
