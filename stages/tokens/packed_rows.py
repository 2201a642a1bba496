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

The rows of `pack_samples` have three more lists:

    sample_group    list<int32>  number of each piece's group in the row, from 1; the pieces of a group stand in one row
    sample_role     list<int32>  what each piece is in its group, by its place in `Sample.roles`
    sample_learned  list<int32>  starts and ends, in turn, of the places whose tokens are learned

Global row numbers count through the shards in their order. With a draw (`max_rows`) they number the drawn
rows only.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.contract import Context, Of, StoredFile
from stages.documents import LOG_PRIOR
from stages.permutation import Permutation
from stages.tokens.definition import Definition
from stages.tokens.row_files import READERS, each, opened
from stages.tokens.taken_rows import TakenRows

if TYPE_CHECKING:
    import pyarrow as pa

BIN_SUFFIX = ".bin"
ROWS_SUFFIX = ".rows.parquet"
MAPPED_SHARDS = 128  # at once, far below the limit of open files that systems start with


@dataclass(frozen=True)
class PackedRows:
    """The rows of one pack node; small enough to be sent to a worker, which finds the files in the store by itself. Of
    `.rows.parquet` it fetches the columns that are asked for, of `.bin` whole files, or the rows alone.

    files     (`.bin`, `.rows.parquet`, rows) of every shard, in order
    draw      (rows, seed) of a budget, or None
    specials  (name, id) of the tokenizer's special tokens
    tokenizer SHA-256 of its file
    by_range  fetch the rows alone: the files are more than a machine should keep copies of
    begins    the id that begins a document, where another one than `end_id` does
    """

    files: tuple[tuple[StoredFile, StoredFile, int], ...]
    length: int
    dtype: str
    end_id: int
    vocab_size: int
    draw: tuple[int, int] | None = None
    specials: tuple[tuple[str, int], ...] = ()
    tokenizer: str = ""
    by_range: bool = False
    begins: int | None = None

    @classmethod
    def of(cls, ctx: Context, of: Of) -> PackedRows:
        """The rows of a finished pack node that is an input."""
        meta = ctx.read_json("meta", of=of)
        rows = cls.described(meta, lambda key, ext: ctx.stored("pack", key, ext, of=of))
        text = ctx.path("meta", "all", "/tokenizer.json", of=of).read_bytes()
        definition = Definition(text.decode())
        specials, digest = tuple(definition.special.items()), hashlib.sha256(text).hexdigest()
        return replace(rows, specials=specials, tokenizer=digest)

    @classmethod
    def described(cls, meta: Mapping[str, Any], stored: Callable[[str, str], StoredFile]) -> PackedRows:
        """The rows that the content of a pack node's `meta/all.json` describes. `stored` finds a file of its phase
        `pack` by key and ending.
        """
        names = [(shard["name"], shard["rows"]) for shard in meta["shards"]]
        files = tuple((stored(name, BIN_SUFFIX), stored(name, ROWS_SUFFIX), rows) for name, rows in names)
        draw = None if meta["draw"] is None else (meta["draw"][0], meta["draw"][1])
        begins = meta.get("begin_id")
        return cls(files, meta["length"], meta["dtype"], meta["end_id"], meta["vocab_size"], draw, begins=begins)

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
            with self.files[shard][0].held() as file:
                self._maps[shard] = np.memmap(file, self.dtype, "r").reshape(-1, self.length + 1)
            if len(self._maps) > MAPPED_SHARDS:
                self._maps.popitem(last=False)
        self._maps.move_to_end(shard)
        return self._maps[shard]

    def _fetched(self, shard: int, rows: np.ndarray) -> np.ndarray:
        """Rows of a shard, [n, T+1], of which nothing else is fetched."""
        width = (self.length + 1) * np.dtype(self.dtype).itemsize
        parts = self.files[shard][0].ranges((rows * width).tolist(), width)
        return np.frombuffer(b"".join(parts), self.dtype).reshape(len(rows), self.length + 1)

    @cached_property
    def _used(self) -> np.ndarray:
        return np.concatenate([np.zeros(0, np.int64), *(c.to_numpy() for c in self._column("tokens"))])

    @cached_property
    def _starts(self) -> tuple[np.ndarray, np.ndarray]:
        """Places in their rows where pieces begin, of all rows one after another, and where each row's begin there."""
        return self._flat("doc_start")

    @cached_property
    def _learns(self) -> tuple[np.ndarray, np.ndarray]:
        """Starts and ends of the learned places, as `_starts` are laid out."""
        return self._flat("sample_learned")

    def _flat(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """The lists of a column of whole numbers one after another, and where those of each row begin there."""
        lists = [column.combine_chunks() for column in self._column(name)]
        counts = [np.diff(one.offsets.to_numpy()) for one in lists]
        flat = [one.flatten().to_numpy() for one in lists]
        return np.concatenate([np.zeros(0, np.int32), *flat]), np.concatenate([[0], *counts]).cumsum()

    @cached_property
    def _means(self) -> dict[str, np.ndarray]:
        return {}  # and, as doc_<name>, the values of all pieces one after another

    @cached_property
    def _carried(self) -> set[str]:
        """Columns that the files of all shards have."""
        names = each(self.files, lambda file: set(file.schema_arrow.names))
        return set.intersection(*names) if names else set()

    def _column(self, name: str) -> list[pa.ChunkedArray]:
        return each(self.files, lambda file: file.read(columns=[name])[name])

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
        return self._by_piece(f"doc_{name}", rows)

    def _by_piece(self, name: str, rows: np.ndarray) -> np.ndarray:
        firsts, ends = self._starts[1][self._places(rows)], self._starts[1][self._places(rows) + 1]
        found = np.full((len(rows), int((ends - firsts).max(initial=0))), np.nan)
        if self.carries(name):
            if name not in self._means:
                lists = [column.combine_chunks().flatten() for column in self._column(name)]
                self._means[name] = np.concatenate([c.cast("float64").to_numpy(False) for c in lists])
            for row, (first, end) in enumerate(zip(firsts, ends, strict=True)):
                found[row, : end - first] = self._means[name][first:end]
        return found

    def groups(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Group and role of each piece of the rows with these global numbers, int64 [n, most pieces]: groups count from
        1, and 0 stands where a row has no such piece.
        """
        group, role = (self._by_piece(f"sample_{name}", rows) for name in ("group", "role"))
        return np.nan_to_num(group).astype(np.int64), np.nan_to_num(role).astype(np.int64)

    def documents(self, row: int) -> list[str]:
        """The documents of a row with this global number: their ids where `pack` carries them, else shard and row."""
        place = int(self._places(np.asarray([row]))[0])
        shard = int(np.searchsorted(self._first, place, side="right") - 1)
        with opened(self.files[shard][1]) as file:
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
        parts = {int(shard): np.flatnonzero(shards == shard) for shard in np.unique(shards)}
        inside = {shard: places[at] - self._first[shard] for shard, at in parts.items()}
        if self.by_range:
            with ThreadPoolExecutor(READERS) as pool:
                found = dict(zip(inside, pool.map(self._fetched, inside, inside.values()), strict=True))
        else:
            found = {shard: self._map(shard)[rows] for shard, rows in inside.items()}
        for shard, at in parts.items():
            ids[at] = found[shard]
        used = self._used[places].astype(np.int64)
        priors = np.zeros(len(places), np.float32)
        if self.carries(LOG_PRIOR):
            means = self.means(LOG_PRIOR, rows)
            priors = np.where(np.isnan(means), 0.0, means).astype(np.float32)
        learned = self._learned(places) if self.of_samples else None
        return TakenRows(ids, used, priors, self._segments(places, used), learned)

    @property
    def of_samples(self) -> bool:
        """Whether only some places are learned."""
        return self.carries("sample_learned")

    def _learned(self, places: np.ndarray) -> np.ndarray:
        bounds, first = self._learns
        turns = np.zeros((len(places), self.length + 2), bool)
        for i, place in enumerate(places):
            turns[i, bounds[first[place] : first[place + 1]]] = True
        return (turns.cumsum(1) % 2 == 1)[:, :-1]

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

        found: list[int] = []
        for i, (_, rows, _) in enumerate(self.files):
            with opened(rows) as file:
                names = file.schema_arrow.metadata or {}
                if (names.get(b"base"), names.get(b"shard")) != (base.encode(), shard.encode()):
                    continue
                documents = file.read(columns=["doc_row"])["doc_row"].combine_chunks()
            parents = pc.list_parent_indices(documents).filter(
                pc.equal(pc.list_flatten(documents), pa.scalar(row, pa.int64()))
            )
            found += [number for number in self.numbers(i, sorted(set(parents.to_pylist()))) if number is not None]
        return found
