"""Reading packed rows: ids by global row number, and which rows hold a document.

`rows.parquet`, one line a row of the `.bin` beside it; schema metadata `base` and `shard` name the documents' shard:

    row         int64         number inside the shard
    tokens      int32         used tokens; the rest of the row is filling
    bytes       int64         bytes of text that the used tokens stand for
    doc_row     list<int64>   base rows of the documents, in the order in which they stand in the row
    doc_start   list<int32>   where each begins in the row
    doc_offset  list<int32>   how many of its tokens stand in earlier pieces (0 unless the document was cut)
    doc_tokens  list<int32>   how many of its tokens stand here
    doc_source  list<string>  source of each document (null when the documents carry none)
    quality     float32       mean quality by tokens, null when not all documents have one
    log_prior   float32       logarithm of the prior weight of the row, 0 = none

Global row numbers count through the shards in their order. With a draw (`max_rows`) they number the drawn
rows only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from pipeline.contract import Context, Of
from stages.training.sampler import Permutation

BIN_SUFFIX = ".bin"
ROWS_SUFFIX = ".rows.parquet"


@dataclass(frozen=True)
class PackedRows:
    """The rows of one pack node on local files; small enough to be sent to a worker.

    files  (`.bin`, `.rows.parquet`, rows) of every shard, in order
    draw   (rows, seed) of a budget, or None
    """

    files: tuple[tuple[str, str, int], ...]
    length: int
    dtype: str
    end_id: int
    vocab_size: int
    draw: tuple[int, int] | None = None

    @classmethod
    def of(cls, ctx: Context, of: Of) -> PackedRows:
        """The rows of a finished pack node that is an input."""
        meta = json.loads(ctx.path("meta", "all", ".json", of=of).read_text())
        files = tuple(
            (
                str(ctx.path("pack", shard["name"], BIN_SUFFIX, of=of)),
                str(ctx.path("pack", shard["name"], ROWS_SUFFIX, of=of)),
                shard["rows"],
            )
            for shard in meta["shards"]
        )
        draw = None if meta["draw"] is None else (meta["draw"][0], meta["draw"][1])
        return cls(files, meta["length"], meta["dtype"], meta["end_id"], meta["vocab_size"], draw)

    @property
    def packed(self) -> int:
        """Rows in the files."""
        return sum(rows for _, _, rows in self.files)

    @property
    def rows(self) -> int:
        """Rows that may be used."""
        return self.packed if self.draw is None else self.draw[0]

    @cached_property
    def _drawn(self) -> Permutation | None:
        return None if self.draw is None else Permutation(self.packed, f"rows/{self.draw[1]}")

    @cached_property
    def _first(self) -> np.ndarray:
        return np.cumsum([0, *(rows for _, _, rows in self.files)])

    @cached_property
    def _maps(self) -> list[np.ndarray | None]:
        shape = (-1, self.length + 1)
        return [np.memmap(path, self.dtype, "r").reshape(shape) if rows else None for path, _, rows in self.files]

    @cached_property
    def _used(self) -> np.ndarray:
        return self._column("tokens")

    @cached_property
    def _priors(self) -> np.ndarray:
        return self._column("log_prior")

    def _column(self, name: str) -> np.ndarray:
        import pyarrow.parquet as pq

        parts = [pq.read_table(path, columns=[name])[name].to_numpy() for _, path, _ in self.files]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _places(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(rows) if self._drawn is None else self._drawn.forward(rows)

    def take(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ids int64 [n, T+1], used tokens int64 [n] and log priors float32 [n] of the rows with these
        global numbers.
        """
        places = self._places(rows)
        shards = np.searchsorted(self._first, places, side="right") - 1
        ids = np.empty((len(places), self.length + 1), np.int64)
        for i, (shard, place) in enumerate(zip(shards, places, strict=True)):
            ids[i] = self._maps[shard][place - self._first[shard]]
        return ids, self._used[places].astype(np.int64), self._priors[places].astype(np.float32)

    def numbers(self, shard: int, rows: Sequence[int]) -> list[int | None]:
        """Global numbers of rows of a shard; None for a row that the draw left out."""
        places = self._first[shard] + np.asarray(rows, np.int64)
        numbers = places if self._drawn is None else self._drawn.inverse(places)
        return [int(number) if number < self.rows else None for number in numbers]

    def rows_of_document(self, base: str, shard: str, row: int) -> list[int]:
        """Global numbers of the usable rows that hold (a piece of) a document: base, shard key, row in the
        base.
        """
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        found: list[int] = []
        for i, (_, path, _) in enumerate(self.files):
            names = pq.read_schema(path).metadata or {}
            if (names.get(b"base"), names.get(b"shard")) != (base.encode(), shard.encode()):
                continue
            documents = pq.read_table(path, columns=["doc_row"])["doc_row"].combine_chunks()
            parents = pc.list_parent_indices(documents).filter(
                pc.equal(pc.list_flatten(documents), pa.scalar(row, pa.int64()))
            )
            found += [number for number in self.numbers(i, sorted(set(parents.to_pylist()))) if number is not None]
        return found


def rows_of_document(meta: Path, base: str, shard: str, row: int) -> list[int]:
    """`PackedRows.rows_of_document`, for a reader that has only the path of `meta/all.json` of a finished
    pack node.
    """
    folder = Path(meta).parent.parent / "pack"
    facts = json.loads(Path(meta).read_text())
    files = tuple(
        (str(folder / f"{s['name']}{BIN_SUFFIX}"), str(folder / f"{s['name']}{ROWS_SUFFIX}"), s["rows"])
        for s in facts["shards"]
    )
    draw = None if facts["draw"] is None else (facts["draw"][0], facts["draw"][1])
    packed = PackedRows(files, facts["length"], facts["dtype"], facts["end_id"], facts["vocab_size"], draw)
    return packed.rows_of_document(base, shard, row)
