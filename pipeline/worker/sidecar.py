"""Making one side-car: columns of the rows alive, scattered to the rows of the base shard.

`state` is null for a row gone before this node, 0 for one alive after it, else 1 + the index of its reason in the
node's `reasons`. Bytes are a function of the values: columns are combined, -0.0 becomes 0.0, a NaN is refused, row
groups and compression are fixed. Values known from an earlier side-car of the same score key are copied instead of
computed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.contract import Columns, Removed, Result, RowFunction, RowNode, Shard
from pipeline.errors import DataError
from pipeline.store.rows import read_columns
from pipeline.worker.context import TaskContext

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP = 65536


class SideCar:
    """Collects what a row phase says of a shard's rows, batch by batch."""

    def __init__(
        self, context: TaskContext, shard: Shard, open_rows: Callable[[], RowFunction], known: Path | None
    ) -> None:
        import pyarrow as pa

        self.node, self.shard = context.node, shard
        self.place = f"{self.node.kind()} over {shard.name}"
        self.types = {name: pa.type_for_alias(kind) for name, kind in self.node.adds().items()}
        self.codes = {reason: code for code, reason in enumerate(self.node.reasons, start=1)}
        self.state = np.full(shard.rows, -1, np.int16)
        self.changes_text = bool(getattr(self.node, "changes_text", False))
        self._open_rows, self._function = open_rows, None
        self._known = None if known is None else _KnownScores(known, list(self.types), self.changes_text)
        self._rows: list[np.ndarray] = []
        self._columns: list[pa.Table] = []
        self._texts: list[pa.Array] = []
        self._removed: list[tuple[np.ndarray, pa.Array, pa.Array]] = []
        self.text_bytes_in = 0

    def take(self, table: pa.Table, needs: Sequence[str]) -> pa.Table:
        """Score and decide one batch of alive rows; returns those that stay, with the added columns."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if not len(table):
            return self._extended(table, {name: pa.nulls(0, kind) for name, kind in self.types.items()}, None)
        rows = table["_row"].to_numpy()
        columns = self._scored(table.select(list(needs)), rows)
        added = self._checked(columns, len(table))
        if isinstance(self.node, RowNode) and columns.removed is None:
            removed = self.node.decide(pa.table(added, schema=pa.schema(list(self.types.items()))))
        else:
            removed = columns.removed
        stays = self._note_removed(rows, removed)
        self._rows.append(rows)
        self._columns.append(pa.table(added, schema=pa.schema(list(self.types.items()))))
        text = None
        if self.changes_text:
            text = self._one_a_row(columns.text, pa.string(), len(table), "texts")
            self._texts.append(text)
        # Only a phase that reads the text counts it: what else a pass happens to carry must not show in the receipt.
        if "text" in needs:
            self.text_bytes_in += int(pc.sum(pc.binary_length(table["text"])).as_py() or 0)
        rest = self._extended(table, added, text)
        return rest if stays is None else rest.filter(stays)

    def _scored(self, table: pa.Table, rows: np.ndarray) -> Columns:
        if self._known is not None:
            return self._known.fill(table, rows, self._compute, self.types)
        return self._compute(table)

    def _compute(self, table: pa.Table) -> Columns:
        if self._function is None:
            self._function = self._open_rows()
        return self._function(table)

    def _checked(self, columns: Columns, rows: int) -> dict[str, pa.Array]:

        if set(columns.added) != set(self.types):
            raise DataError(
                self.place,
                f"columns {sorted(columns.added)} from the row function",
                f"those of adds(): {sorted(self.types)}",
            )
        if columns.text is not None and not self.changes_text:
            raise DataError(self.place, "a changed text", "a node that declares `changes_text`")
        return {
            name: self._one_a_row(columns.added[name], kind, rows, f"column {name}")
            for name, kind in self.types.items()
        }

    def _one_a_row(self, values, kind, rows: int, what: str) -> pa.Array:
        """As many values of this type as there are rows; nulls where there is nothing."""
        import pyarrow as pa

        if values is None:
            return pa.nulls(rows, kind)
        try:
            array = _array(values, kind)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise DataError(f"{self.place}, {what}", str(error), str(kind)) from error
        if len(array) != rows:
            raise DataError(f"{self.place}, {what}", f"{len(array)} values", f"{rows}, one a row")
        return _normal(array, f"{self.place}, {what}")

    def _note_removed(self, rows: np.ndarray, removed: Removed | None) -> pa.Array | None:
        import pyarrow as pa
        import pyarrow.compute as pc

        if removed is None:
            self.state[rows] = 0
            return None
        reason = self._one_a_row(removed.reason, pa.string(), len(rows), "reasons")
        value = self._one_a_row(removed.value, pa.float64(), len(rows), "measured values")
        limit = self._one_a_row(removed.threshold, pa.float64(), len(rows), "thresholds")
        found = pc.unique(reason).to_pylist()
        if unknown := [name for name in found if name is not None and name not in self.codes]:
            raise DataError(self.place, f"the reason {unknown[0]!r}", f"one of {', '.join(self.codes) or 'none'}")
        names = pa.array(list(self.codes), pa.string())
        codes = pc.add(pc.index_in(reason, names), 1)
        self.state[rows] = pc.fill_null(codes, 0).to_numpy(zero_copy_only=False).astype(np.int16)
        gone = pc.is_valid(reason)
        picked = rows[gone.to_numpy(zero_copy_only=False)]
        if len(picked):
            self._removed.append((picked, value.filter(gone), limit.filter(gone)))
        return pc.is_null(reason)

    def _extended(self, table: pa.Table, added: dict[str, pa.Array], text: pa.Array | None) -> pa.Table:
        import pyarrow.compute as pc

        for name, values in added.items():
            table = table.append_column(name, values)
        if text is not None and "text" in table.column_names:
            table = table.set_column(
                table.column_names.index("text"), "text", pc.coalesce(text, table["text"].cast(text.type))
            )
        return table

    def write(self, path: Path) -> tuple[Result, str]:
        """Write the Parquet file; returns the result for the receipt and the digest of the values."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = np.concatenate(self._rows) if self._rows else np.empty(0, np.int64)
        seen = self.state >= 0
        columns: dict[str, pa.Array] = {"state": pa.array(self.state, mask=~seen)}
        spread = _spread(rows, self.shard.rows)
        for name, kind in self.types.items():
            columns[name] = spread(_concat([chunk for table in self._columns for chunk in table[name].chunks], kind))
        if self.changes_text:
            columns["text"] = spread(_concat(self._texts, pa.string()))
        if self.codes:
            gone = np.concatenate([r for r, _, _ in self._removed]) if self._removed else np.empty(0, np.int64)
            spread_gone = _spread(gone, self.shard.rows)
            columns["removed_value"] = spread_gone(_concat([v for _, v, _ in self._removed], pa.float64()))
            columns["removed_threshold"] = spread_gone(_concat([t for _, _, t in self._removed], pa.float64()))
        table = pa.table(columns)
        pq.write_table(
            table, path, compression="zstd", row_group_size=ROW_GROUP, write_statistics=False,
            use_dictionary=[name for name, kind in self.types.items() if kind == pa.string()], store_schema=False,
        )  # fmt: skip
        return self._result(columns), values_digest(table)

    def _result(self, columns: dict[str, pa.Array]) -> Result:
        counts = {"alive_in": int((self.state >= 0).sum()), "alive_out": int((self.state == 0).sum())}
        for reason, code in self.codes.items():
            if number := int((self.state == code).sum()):
                counts[f"removed.{reason}"] = number
        counts["text_bytes_in"] = self.text_bytes_in
        facts = {}
        histograms = getattr(self.node, "histograms", {})
        if histograms:
            facts["histograms"] = {
                name: [int(n) for n in np.histogram(_finite(columns[name]), bins=bins, range=(low, high))[0]]
                for name, (low, high, bins, *_) in histograms.items()
            }
        return Result(counts, facts)


class _KnownScores:
    """Values and changed texts of an earlier side-car with the same score key."""

    def __init__(self, path: Path, names: Sequence[str], with_text: bool) -> None:
        import pyarrow.compute as pc

        self.names, self.with_text = tuple(names), with_text
        columns = ["state", *names, *(["text"] if with_text else [])]
        self.table = read_columns(path, columns).combine_chunks()
        self.scored = pc.is_valid(self.table["state"]).to_numpy()

    def fill(self, table: pa.Table, rows: np.ndarray, compute: Callable, types: dict) -> Columns:
        """Copied where they are known, computed where not, in the order of the batch."""
        import pyarrow as pa

        known = self.scored[rows]
        copied = self.table.take(pa.array(rows[known]))
        fresh = None if known.all() else compute(table.filter(pa.array(~known)))
        order = np.empty(len(rows), np.int64)
        order[known], order[~known] = np.arange(known.sum()), known.sum() + np.arange((~known).sum())

        def joined(name: str, values, kind) -> pa.Array:
            if fresh is None:
                return _concat(copied[name].chunks, kind)
            new = pa.nulls(int((~known).sum()), kind) if values is None else _array(values, kind)
            return _concat([*copied[name].chunks, new], kind).take(pa.array(order))

        return Columns(
            added={name: joined(name, fresh and fresh.added[name], kind) for name, kind in types.items()},
            text=joined("text", fresh and fresh.text, pa.string()) if self.with_text else None,
        )


def values_digest(table: pa.Table) -> str:
    """SHA-256 over decoded columns: the same whatever a Parquet writer does with them, 24 hex digits.

    What lies in memory under a null, and how a column is cut into chunks, does not count.
    """
    state = hashlib.sha256()
    for name in table.column_names:
        column = _concat(table[name].chunks, table[name].type)
        valid = column.is_valid().to_numpy(zero_copy_only=False)
        state.update(f"{name}\0{column.type}\0{len(column)}\0".encode() + np.packbits(valid).tobytes())
        for part in _content(column.drop_null()):
            state.update(part)
    return state.hexdigest()[:24]


def _content(values: pa.Array) -> Iterator[bytes | memoryview]:
    """The bytes of an array of numbers, booleans strings or bytes without nulls."""
    import pyarrow as pa

    if not len(values):
        return
    if not (pa.types.is_string(values.type) or pa.types.is_binary(values.type)):
        yield np.ascontiguousarray(values.to_numpy(zero_copy_only=False)).tobytes()
        return
    _, offsets, data = values.buffers()
    ends = np.frombuffer(offsets, np.int32)[values.offset : values.offset + len(values) + 1]
    yield np.diff(ends).tobytes()
    if data is not None:
        yield memoryview(data)[ends[0] : ends[-1]]


def _spread(rows: np.ndarray, length: int) -> Callable[[pa.Array], pa.Array]:
    """Puts value i at place rows[i] of `length`, null elsewhere; rows ascend."""
    import pyarrow as pa

    if len(rows) == length:
        return lambda values: values
    index = np.full(length, -1, np.int64)
    index[rows] = np.arange(len(rows))
    places = pa.array(index, mask=index < 0)
    return lambda values: values.take(places)


def _concat(parts: Sequence, kind) -> pa.Array:
    import pyarrow as pa

    parts = [part for part in parts if len(part)]
    return pa.concat_arrays(parts) if parts else pa.nulls(0, kind)


def _array(values, kind) -> pa.Array:
    import pyarrow as pa

    if isinstance(values, pa.ChunkedArray):
        values = _concat(values.chunks, values.type)
    if not isinstance(values, pa.Array):
        values = pa.array(values)
    return values if values.type == kind else values.cast(kind)


def _normal(values: pa.Array, place: str) -> pa.Array:
    """Floats with one zero and no NaN."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_floating(values.type):
        return values
    if pc.any(pc.is_nan(values)).as_py():
        raise DataError(place, "a NaN", "a number or null")
    return pc.add(values, pa.scalar(0.0, values.type))


def _finite(values: pa.Array) -> np.ndarray:
    return values.drop_null().to_numpy(zero_copy_only=False)
