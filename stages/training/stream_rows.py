"""Making the rows of a stream (`stages.training.stream`): no torch, since the pipeline's workers run it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.contract import Context, RowReader, Shard
from pipeline.errors import DataError
from stages.documents import HELD_OUT, TEXT
from stages.permutation import Permutation
from stages.tokens.definition import Definition
from stages.tokens.given import Ends
from stages.tokens.packing import best_fit, cut
from stages.tokens.tokenizer import agree, ends_of, tokenizer_file
from stages.training.stream import RowStream

if TYPE_CHECKING:
    import pyarrow as pa

ROW_BITS = 32  # of a row's number; the group's place in the pass is above them, below 2^21: a float64 holds both


@dataclass(frozen=True, kw_only=True)
class StreamedRows:
    """What is known of the rows before they are made; in the place of `PackedRows`.

    groups  names of the shards of each group, in the order of a pass
    rows    documents, those that are held out included
    """

    groups: tuple[tuple[str, ...], ...]
    rows: int
    length: int
    end_id: int
    vocab_size: int
    specials: tuple[tuple[str, int], ...]
    tokenizer: str
    of_samples: bool = False
    begins: int | None = None

    def documents(self, row: int) -> list[str]:
        """The shards that a row was made from: more is not kept."""
        return list(self.groups[row >> ROW_BITS])

    def carries(self, name: str) -> bool:
        """Whether the rows carry a column: none."""
        return False

    def passes(self, state: Sequence[int]) -> float:
        """Passes over the documents up to a state of the feed."""
        return state[0] + (state[1] >> ROW_BITS) / len(self.groups)


@dataclass(frozen=True, kw_only=True)
class Packer:
    """Makes the rows of a group; a plain value that travels to the workers of the pipeline."""

    reader: RowReader
    groups: tuple[tuple[Shard, ...], ...]
    tokenizer: str  # the text of its file
    ends: Ends
    agree: bool  # whether kitoken gives its ids
    stream: RowStream
    seed: int

    def rows(self, place: int, first: int = 0) -> Iterator[pa.Table]:
        """Rows of the group at a place of the pass, from row `first` on: `number` int64, `ids` and `documents`
        int32[T+1] (as in `collate.Rows`), a table for each window.
        """
        from stages.tokens.encoder import Encoder

        encoder, count = Encoder(self.tokenizer, self.agree), 0
        begin, end = encoder.special[self.ends.begin], encoder.special[self.ends.end]
        encoded = 0
        for number, texts in enumerate(self._windows(self.groups[place])):
            ids = [np.concatenate([[begin], one, [end]]) for one in encoder.encode(texts, first=encoded)]
            encoded += len(texts)
            table = self._packed(ids, end, f"{self.seed}/{place}/{number}", (place << ROW_BITS) + count)
            # without rows where all of them were seen: a block must have columns
            yield table.slice(min(max(0, first - count), table.num_rows))
            count += table.num_rows

    def _windows(self, shards: Sequence[Shard]) -> Iterator[list[str]]:
        """Texts of the documents to train on, a window at a time; shards take turns."""
        share = max(1, self.stream.window // len(shards))
        window: list[str] = []
        turns = [self._texts(shard, share) for shard in shards]
        while turns:
            for texts in list(turns):
                window += (some := next(texts, []))
                if not some:
                    turns.remove(texts)
                while len(window) >= self.stream.window:
                    yield window[: self.stream.window]
                    window = window[self.stream.window :]
        if window:
            yield window

    def _texts(self, shard: Shard, share: int) -> Iterator[list[str]]:
        """Texts to train on, so many at a time however the shard is read."""
        import pyarrow.compute as pc

        texts: list[str] = []
        for table in self.reader(shard):
            if HELD_OUT in table.column_names:
                table = table.filter(pc.invert(pc.fill_null(table[HELD_OUT], False)))
            texts += [text for text in table[TEXT].to_pylist() if text]
            while len(texts) >= share:
                yield texts[:share]
                texts = texts[share:]
        if texts:
            yield texts

    def _packed(self, ids: list[np.ndarray], end: int, key: str, first: int) -> pa.Table:
        import pyarrow as pa

        capacity = self.stream.length + 1
        packed = best_fit(cut([len(one) for one in ids], capacity), capacity)
        rows, documents = np.full((len(packed), capacity), end, np.int32), np.zeros((len(packed), capacity), np.int32)
        # the fit places long documents first, so rows are drawn
        for row, place in enumerate(Permutation(len(packed), key).forward(np.arange(len(packed))).tolist()):
            at = 0
            for piece, (document, offset, length) in enumerate(packed[place], 1):
                rows[row, at : at + length] = ids[document][offset : offset + length]
                documents[row, at : at + length] = piece
                at += length
        lists = [pa.FixedSizeListArray.from_arrays(values.ravel(), capacity) for values in (rows, documents)]
        numbers = pa.array(np.arange(first, first + len(packed), dtype=np.int64))
        return pa.table({"number": numbers, "ids": lists[0], "documents": lists[1]})


def packer(ctx: Context, stream: RowStream, seed: int) -> Packer:
    """The maker of the rows of the documents in the field `rows`."""
    columns = [TEXT, *([HELD_OUT] if ctx.has_column(HELD_OUT, "rows") else [])]
    reader = ctx.reader(columns, "rows")
    count = len(reader.shards)
    drawn = [reader.shards[i] for i in Permutation(count, f"stream/{seed}").forward(np.arange(count))] if count else []
    groups = tuple(tuple(drawn[at : at + stream.mix]) for at in range(0, count, stream.mix))
    if not groups:
        raise DataError("pretrain.rows", "no shard of documents", "at least one document")
    text = tokenizer_file(ctx).read_text(encoding="utf-8")
    return Packer(
        reader=reader, groups=groups, tokenizer=text, ends=ends_of(ctx), agree=agree(ctx), stream=stream, seed=seed
    )


def streamed_rows(maker: Packer) -> StreamedRows:
    """What is known of a maker's rows. It is asked in the driver, which loads no tokenizer library: one crashed it."""
    definition, ends = Definition(maker.tokenizer), maker.ends
    return StreamedRows(
        groups=tuple(tuple(shard.name for shard in group) for group in maker.groups),
        rows=sum(shard.rows for group in maker.groups for shard in group),
        length=maker.stream.length,
        end_id=definition.special[ends.end],
        vocab_size=definition.vocab_size,
        specials=tuple(definition.special.items()),
        tokenizer=hashlib.sha256(maker.tokenizer.encode()).hexdigest(),
        begins=None if ends.begin == ends.end else definition.special[ends.begin],
    )
