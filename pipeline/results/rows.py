"""Reading rows: a base shard with the columns that lie beside it, zipped, alive rows only.

A side-car has exactly the rows of its base shard, in its order, so joining is slicing. Which rows are alive is
written in one place, the `state` column of the nearest side-car: null = gone before that node, 0 = alive after it,
else the code of the reason.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.arrow import plain_rows
from pipeline.contract import Shard, Source
from pipeline.errors import DataError, SourceChanged, SourceDamaged
from pipeline.files.address import Address
from pipeline.files.objects import Store
from pipeline.files.open_store import open_store
from pipeline.files.sources import open_stream, require_unchanged
from pipeline.json_object import json_object
from pipeline.results.binding import BaseShard, DocumentStream, Link
from pipeline.results.receipts import Receipt, data_name, finished_receipt

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_BYTES = 16 << 20
MOST_ROWS = 65_536  # in a batch
FEW_ROWS = 1024  # in a batch when only some rows are wanted
ReceiptOf = Callable[[str, str, str], Receipt]  # (folder, phase, key) of a file that is read


def side_car_file(shard_name: str) -> str:
    return f"{shard_name}.parquet"


class ShardView:
    """One base shard seen from the end of a chain of finished side-cars."""

    def __init__(
        self, store: Store, base: BaseShard, chain: Sequence[Link], receipt_of: ReceiptOf | None = None
    ) -> None:
        self.store, self.base, self.chain = store, base, tuple(chain)
        self._receipt_of = receipt_of

    def batches(
        self, columns: Sequence[str], only: np.ndarray | None = None
    ) -> Iterator[tuple[int, np.ndarray, pa.Table]]:
        """(first row, alive mask, table of all rows) per batch; the table has `columns`, `_row` and `id` if asked for.
        With `only` (rows, ascending) row groups and batches that hold none of them are left out.
        """
        import pyarrow as pa

        side = self._side_columns(columns)
        alive = self._alive()
        for start, table in self._base_batches([c for c in columns if c not in side and c != "_row"], only):
            rows = len(table)
            for name in columns:
                if name == "_row":
                    table = table.append_column("_row", pa.array(np.arange(start, start + rows, dtype=np.int64)))
                elif name in side:
                    values = side[name].slice(start, rows)
                    if name == "text" and name in table.column_names:
                        table = table.drop_columns(["text"])
                    table = table.append_column(name, values)
            text = side.get("_text")
            if text is not None and "text" in columns:
                import pyarrow.compute as pc

                changed = text.slice(start, rows)
                at = table.column_names.index("text")
                table = table.set_column(at, "text", pc.coalesce(changed, table["text"].cast(changed.type)))
            mask = np.ones(rows, bool) if alive is None else alive[start : start + rows]
            yield start, mask, table.select(list(columns))

    def alive(self) -> np.ndarray:
        """bool[rows]: which rows of the shard are alive at the end of the chain."""
        mask = self._alive()
        return np.ones(self.base.shard.rows, bool) if mask is None else mask

    def read_side_car(self, link: Link, columns: Sequence[str]) -> pa.Table:
        """Columns of one link's side-car, every row."""
        name = self.base.shard.name
        return read_columns(self._open(link.folder, link.phase, name, side_car_file(name)), columns)

    def _alive(self) -> np.ndarray | None:
        if self.chain:
            state = self.read_side_car(self.chain[-1], ["state"])["state"]
        elif self.base.state_file:
            path = self._open(self.base.folder, self.base.phase, self.base.task, self.base.state_file)
            state = read_columns(path, ["state"])["state"]
        else:
            return None
        import pyarrow.compute as pc

        return pc.fill_null(pc.equal(state, 0), False).to_numpy().astype(bool)

    def _side_columns(self, columns: Sequence[str]) -> dict[str, pa.ChunkedArray]:
        """Columns that some link holds; `_text` is the nearest changed text of every row, null where unchanged."""
        import pyarrow.compute as pc

        found: dict[str, pa.ChunkedArray] = {}
        for link in self.chain:
            wanted = [name for name in link.columns if name in columns]
            with_text = link.changes_text and "text" in columns
            if not wanted and not with_text:
                continue
            table = self.read_side_car(link, [*wanted, *(["text"] if with_text else [])])
            found |= {name: table[name] for name in wanted}
            if with_text:
                found["_text"] = pc.coalesce(table["text"], found["_text"]) if "_text" in found else table["text"]
        return found

    def _base_batches(self, columns: Sequence[str], only: np.ndarray | None) -> Iterator[tuple[int, pa.Table]]:
        if not columns:  # nothing is asked of the base but how many rows it has, and that is known
            for start in range(0, self.base.shard.rows, MOST_ROWS):
                rows = min(MOST_ROWS, self.base.shard.rows - start)
                if _holds(start, rows, only):
                    yield start, _rows_only(rows)
            return
        if self.base.in_place is not None:
            yield from self._in_place_batches(columns, only)
            return
        import pyarrow.parquet as pq

        path = self._open(self.base.folder, self.base.phase, self.base.task, self.base.file or "")
        start = 0
        with _named(path), pq.ParquetFile(path, memory_map=True) as file:
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                if _holds(start, rows, only):
                    yield start, file.read_row_group(group, columns=list(columns), use_threads=False)
                start += rows
        if start != self.base.shard.rows:
            raise DataError(str(path), f"{start} rows", f"{self.base.shard.rows} rows", "siftloom verify")

    def _in_place_batches(self, columns: Sequence[str], only: np.ndarray | None) -> Iterator[tuple[int, pa.Table]]:
        """Rows of somebody else's Parquet file: `iter_batches`, because its row groups may be of any size."""
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        place, source = self.base.in_place, self.base.source
        assert place is not None
        if source is None:
            raise SourceChanged(
                self.base.shard.name, "no source file with the digest that this shard was read from",
                "the file in one of the recipe's paths", "put it back, or run the recipe again",
            )  # fmt: skip
        groups = range(*place.row_groups)
        # what the file lacks (`source`, `source_id`) is null; never the file's name, which is no part of its content
        theirs = {ours: place.columns[ours] for ours in columns if ours in place.columns}
        objects = {ours: list(place.objects[ours]) for ours in columns if ours in place.objects}
        with _as_listed(source), open_stream(source.path) as stream:
            file = pq.ParquetFile(stream)
            sizes = [(file.metadata.row_group(g).num_rows, file.metadata.row_group(g).total_byte_size) for g in groups]
            whole = sum(size for _, size in sizes) or 1
            per_batch = max(1, min(MOST_ROWS, self.base.shard.rows * BATCH_BYTES // whole))
            wanted = sorted({*theirs.values(), *(name for names in objects.values() for name in names)})
            starts = np.concatenate([[0], np.cumsum([rows for rows, _ in sizes])]).tolist()
            # one after another when some are skipped, else together, so that a batch may hold several small ones
            parts = [(0, list(groups))]
            if only is not None:
                per_batch = min(per_batch, FEW_ROWS)
                parts = [
                    (start, [group])
                    for start, (rows, _), group in zip(starts, sizes, groups, strict=False)
                    if _holds(start, rows, only)
                ]
            for start, together in parts:
                for batch in file.iter_batches(per_batch, row_groups=together, columns=wanted, use_threads=False):
                    rows = len(batch)
                    table = pa.table({ours: _plain(ours, batch.column(name)) for ours, name in theirs.items()})
                    if not theirs:
                        table = _rows_only(rows)
                    for ours in columns:
                        if ours == "id":
                            first = place.first_row + start
                            count = pa.array(np.arange(first, first + rows)).cast(pa.string())
                            ids = pc.binary_join_element_wise(place.ids, count, ":")
                            table = table.append_column("id", ids)
                        elif ours in objects:
                            found = [json_object(row) for row in plain_rows(batch.select(objects[ours]))]
                            table = table.append_column(ours, pa.array(found, pa.string()))
                        elif ours not in theirs:
                            table = table.append_column(ours, pa.nulls(rows, pa.string()))
                    if _holds(start, rows, only):
                        yield start, table
                    start += rows
                    if not _holds(start, self.base.shard.rows, only):
                        break  # no wanted row is further behind
        require_unchanged(source)

    def _open(self, folder: str, phase: str, key: str, file: str) -> Path:
        files = {} if self._receipt_of is None else self._receipt_of(folder, phase, key).files
        return self.store.local(data_name(folder, phase, file), files[file]["sha256"] if file in files else "")


def read_columns(path: Path, columns: Sequence[str]) -> pa.Table:
    """Columns of a small file. Not by `pq.read_table`: it loads Arrow's dataset library first, which takes longer."""
    import pyarrow.parquet as pq

    with _named(path), pq.ParquetFile(path) as file:
        return file.read(columns=list(columns), use_threads=False)


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Raise DataError for a file of the store that is gone, or is no Parquet any more."""
    import pyarrow as pa

    try:
        yield
    except (OSError, pa.ArrowInvalid) as error:
        found = "no file" if isinstance(error, FileNotFoundError) else str(error).partition("\n")[0]
        then = "siftloom verify, then siftloom run"
        raise DataError(str(path), found, "the file that its receipt names", then) from error


@contextlib.contextmanager
def _as_listed(source: Source) -> Iterator[None]:
    """Raise SourceChanged where a file cannot be read because it is not the one that was listed, else SourceDamaged."""
    import pyarrow as pa

    try:
        yield
    except (OSError, pa.ArrowInvalid) as error:
        require_unchanged(source)
        raise SourceDamaged(source.name, str(error).partition("\n")[0], "a whole Parquet file") from error


def _plain(name: str, values: pa.Array) -> pa.Array:
    """Text of whatever type as plain strings, so that a column has one type over all shards; numbers stay."""
    import pyarrow as pa

    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    text = name in ("text", "source", "source_id") or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return values.cast(kind).cast(pa.string() if text else kind)


def _holds(start: int, rows: int, only: np.ndarray | None) -> bool:
    """Whether one of the rows start.. is wanted; `only` ascends."""
    return only is None or bool(np.searchsorted(only, start + rows) > np.searchsorted(only, start))


def _rows_only(rows: int) -> pa.Table:
    """A table without columns still has to say how many rows it stands for."""
    import pyarrow as pa

    return pa.table({"_": pa.nulls(rows, pa.bool_())})


def alive_rows(
    store: Store,
    stream: DocumentStream,
    columns: Sequence[str],
    shards: Sequence | None = None,
    receipt_of: ReceiptOf | None = None,
    only: np.ndarray | None = None,
) -> Iterator[tuple]:
    """(shard, table of alive rows) per batch, in shard order; `only` as in `ShardView.batches`."""
    import pyarrow as pa

    have = {*stream.columns(), "_row"}
    if unknown := [name for name in columns if name not in have]:
        raise DataError("rows", f"no column {unknown[0]!r}", f"some of {', '.join(sorted(have))}")
    wanted = None if shards is None else {shard.name for shard in shards}
    for base in stream.shards:
        if wanted is not None and base.shard.name not in wanted:
            continue
        view = ShardView(store, base, stream.chain(base.shard), receipt_of)
        for _, mask, table in view.batches(columns, only):
            yield base.shard, table if mask.all() else table.filter(pa.array(mask))


@dataclass(frozen=True)
class StreamReader:
    """A `RowReader`: alive rows of a stream, in a process that has the store and nothing else."""

    store: Address
    stream: DocumentStream
    columns: tuple[str, ...]

    @property
    def shards(self) -> list[Shard]:
        return [base.shard for base in self.stream.shards]

    def __call__(self, shard: Shard) -> Iterator[pa.Table]:
        store = open_store(self.store)
        for _, table in alive_rows(store, self.stream, self.columns, [shard], partial(finished_receipt, store)):
            yield table
