"""Reading packed rows: ids by global row number, and which rows hold a document.

`rows.parquet`, one line a row of the `.bin` beside it; schema metadata `base` and `shard` name the documents' shard:

    row         int64         number inside the shard
    tokens      int32         used tokens; the rest of the row is filling
    bytes       int64         bytes of text that the used tokens stand for
    doc_row     list<int64>   base rows of the documents, one entry for each piece, in the order of the pieces
    doc_start   list<int32>   where each piece begins in the row
    doc_offset  list<int32>   how many of its tokens stand in earlier pieces (0 unless the document was cut)
    doc_tokens  list<int32>   how many of its tokens stand here
    doc_source  list<string>  source of each document (null when the documents carry none)
    doc_<name>  list          value of each piece's document, for every carried column: float64 or string
    <name>      float64       for every carried number: its mean over the used tokens, null when a piece has none; of
                              `log_prior` the logarithm of the mean weight, so that rows weigh what their documents do

Global row numbers count through the shards in their order. With a draw (`max_rows`) they number the drawn
rows only.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.contract import Context, Of
from stages.documents import LOG_PRIOR
from stages.permutation import Permutation
from stages.tokens.definition import Definition

if TYPE_CHECKING:
    import pyarrow as pa

BIN_SUFFIX = ".bin"
ROWS_SUFFIX = ".rows.parquet"
MAPPED_SHARDS = 128  # at once, far below the limit of open files that systems start with


class TakenRows(NamedTuple):
    """Some packed rows, n of T + 1 tokens.

    ids         int64 [n, T+1]
    used        int64 [n], tokens of each row that are no filling
    log_priors  float32 [n], the carried `log_prior` (of the mean weight of the row's tokens), 0 without one
    segments    int64 [n, T+1]: the first piece of a row is 1, the next one 2, and so on; filling is 0. The tail of a
                document that was cut is a piece like any other
    """

    ids: np.ndarray
    used: np.ndarray
    log_priors: np.ndarray
    segments: np.ndarray


def has_label(segments: np.ndarray) -> np.ndarray:
    """Where a token is followed by one of its own piece, bool [n, T]: everywhere else there is nothing to predict."""
    return (segments[:, 1:] == segments[:, :-1]) & (segments[:, 1:] > 0)


@dataclass(frozen=True)
class PackedRows:
    """The rows of one pack node on local files; small enough to be sent to a worker.

    files     (`.bin`, `.rows.parquet`, rows) of every shard, in order
    draw      (rows, seed) of a budget, or None
    specials  (name, id) of the tokenizer's special tokens
    tokenizer SHA-256 of its file
    begins    the id that begins a document, where another one than `end_id` does
    """

    files: tuple[tuple[str, str, int], ...]
    length: int
    dtype: str
    end_id: int
    vocab_size: int
    draw: tuple[int, int] | None = None
    specials: tuple[tuple[str, int], ...] = ()
    tokenizer: str = ""
    begins: int | None = None

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
        text = ctx.path("meta", "all", "/tokenizer.json", of=of).read_bytes()
        specials, digest = tuple(Definition(text.decode()).special.items()), hashlib.sha256(text).hexdigest()
        return cls(
            files, meta["length"], meta["dtype"], meta["end_id"], meta["vocab_size"], draw, specials, digest,
            meta.get("begin_id"),
        )  # fmt: skip

    def __getstate__(self) -> dict[str, Any]:
        """What is sent to a worker: the fields, and nothing that was read of the files since."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

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
    def _maps(self) -> OrderedDict[int, np.ndarray]:
        """Shards that are mapped now, the one used last at the end: a map holds a file descriptor."""
        return OrderedDict()

    def _map(self, shard: int) -> np.ndarray:
        if shard not in self._maps:
            ids = np.memmap(self.files[shard][0], self.dtype, "r").reshape(-1, self.length + 1)
            self._maps[shard] = ids
            if len(self._maps) > MAPPED_SHARDS:
                self._maps.popitem(last=False)
        self._maps.move_to_end(shard)
        return self._maps[shard]

    @cached_property
    def _used(self) -> np.ndarray:
        return np.concatenate([np.zeros(0, np.int64), *(c.to_numpy() for c in self._column("tokens"))])

    @cached_property
    def _starts(self) -> tuple[np.ndarray, np.ndarray]:
        """Places in their rows where pieces begin, of all rows one after another, and where each row's begin there."""
        lists = [column.combine_chunks() for column in self._column("doc_start")]
        counts = [np.diff(one.offsets.to_numpy()) for one in lists]
        flat = [one.flatten().to_numpy() for one in lists]
        return np.concatenate([np.zeros(0, np.int32), *flat]), np.concatenate([[0], *counts]).cumsum()

    @cached_property
    def _means(self) -> dict[str, np.ndarray]:
        return {}  # and, as doc_<name>, the values of all pieces one after another

    @cached_property
    def _carried(self) -> set[str]:
        """Columns that the files of all shards have."""
        import pyarrow.parquet as pq

        return (
            set.intersection(*(set(pq.read_schema(path).names) for _, path, _ in self.files)) if self.files else set()
        )

    def _column(self, name: str) -> list[pa.ChunkedArray]:
        import pyarrow.parquet as pq

        return [pq.read_table(path, columns=[name])[name] for _, path, _ in self.files]

    def _places(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(rows) if self._drawn is None else self._drawn.forward(rows)

    def carries(self, name: str) -> bool:
        """Whether the rows carry means of a column of the documents."""
        return name in self._carried

    def means(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Means over tokens of a carried column, float64 [n], for the rows with these global numbers; NaN where a
        document of the row has no value.
        """
        if name not in self._means:
            parts = [column.cast("float64").to_numpy() for column in self._column(name)]
            self._means[name] = np.concatenate([np.zeros(0), *parts])
        return self._means[name][self._places(rows)]

    def pieces(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Values of a carried column for each piece of the rows with these global numbers, float64 [n, most pieces];
        NaN where a row has no such piece or its document no value, and everywhere when the column is not carried.
        """
        firsts, ends = self._starts[1][self._places(rows)], self._starts[1][self._places(rows) + 1]
        found = np.full((len(rows), int((ends - firsts).max(initial=0))), np.nan)
        if self.carries(name):
            if f"doc_{name}" not in self._means:
                lists = [column.combine_chunks().flatten() for column in self._column(f"doc_{name}")]
                self._means[f"doc_{name}"] = np.concatenate([c.cast("float64").to_numpy(False) for c in lists])
            for row, (first, end) in enumerate(zip(firsts, ends, strict=True)):
                found[row, : end - first] = self._means[f"doc_{name}"][first:end]
        return found

    def documents(self, row: int) -> list[str]:
        """The documents of a row with this global number: their ids where `pack` carries them, else shard and row."""
        import pyarrow.parquet as pq

        place = int(self._places(np.asarray([row]))[0])
        shard = int(np.searchsorted(self._first, place, side="right") - 1)
        file = pq.ParquetFile(self.files[shard][1])
        carried = "doc_id" in file.schema_arrow.names
        name = "doc_id" if carried else "doc_row"
        found = file.read(columns=[name])[name][place - int(self._first[shard])].as_py()
        key = (file.schema_arrow.metadata or {}).get(b"shard", b"").decode()
        return list(dict.fromkeys(one if carried else f"{key}/{one}" for one in found))

    def take(self, rows: np.ndarray) -> TakenRows:
        """The rows with these global numbers."""
        places = self._places(rows)
        shards = np.searchsorted(self._first, places, side="right") - 1
        ids = np.empty((len(places), self.length + 1), np.int64)
        for shard in np.unique(shards):
            at = np.flatnonzero(shards == shard)
            ids[at] = self._map(shard)[places[at] - self._first[shard]]
        used = self._used[places].astype(np.int64)
        priors = np.zeros(len(places), np.float32)
        if self.carries(LOG_PRIOR):
            means = self.means(LOG_PRIOR, rows)
            priors = np.where(np.isnan(means), 0.0, means).astype(np.float32)
        return TakenRows(ids, used, priors, self._segments(places, used))

    def _segments(self, places: np.ndarray, used: np.ndarray) -> np.ndarray:
        starts, first = self._starts
        begins = np.zeros((len(places), self.length + 1), np.int64)
        for i, place in enumerate(places):
            begins[i, starts[first[place] : first[place + 1]]] = 1
        return np.where(np.arange(self.length + 1) < used[:, None], begins.cumsum(1), 0)

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
