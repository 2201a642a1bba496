"""One batch of rows through a row function. What it returns is checked. An error of one row may remove that row.

The result is a *record*: one table row for each row of the batch, with the columns

    _row       int64, the row's number in the base shard
    ...        the node's added columns, of the declared types
    text       string, the changed text, null = unchanged (only of a node that changes texts)
    reason     string, null = the row stays
    value      float64, what was measured
    threshold  float64, what it was held against
    error      string, the text of the row's error (only of a node with `row_errors`)
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.contract import Columns, Removed, RowFunction, RowNode, RowPhase, Shard, arrow_type
from pipeline.errors import DataError
from pipeline.files.secrets import masked
from pipeline.results.rows import read_columns
from pipeline.worker.arrays import as_array, concat, one_a_row

if TYPE_CHECKING:
    import pyarrow as pa

ERROR_CHARACTERS = 500  # of an error's text that are kept


class Scorer:
    """The row function of a phase over one shard, opened when the first row needs it."""

    def __init__(
        self, node: Any, phase: RowPhase, shard: Shard, open_rows: Callable[[], RowFunction], known: Path | None = None
    ) -> None:
        """`known` is a finished side-car of the same rule of scores, from which values are copied."""
        import pyarrow as pa

        self.node, self.phase = node, phase
        self.place = f"{node.kind()} over {shard.name}"
        self.types = {name: arrow_type(kind) for name, kind in node.adds().items()}
        self.reasons = node.all_reasons()
        self.changes_text = bool(getattr(node, "changes_text", False))
        self.row_errors: tuple[type[Exception], ...] = getattr(node, "row_errors", ())
        self._open_rows, self._function = open_rows, None
        self._known: _KnownScores | None = None
        if known is not None and phase.reuse:
            names = [*self.types, *(["text"] if self.changes_text else [])]
            with contextlib.suppress(FileNotFoundError):  # another run's, and cleaned away since
                self._known = _KnownScores(known, names, bool(self.row_errors))
        fields = [("_row", pa.int64()), *self.types.items()]
        fields += [("text", pa.string())] if self.changes_text else []
        fields += [("reason", pa.string()), ("value", pa.float64()), ("threshold", pa.float64())]
        fields += [("error", pa.string())] if self.row_errors else []
        self.schema = pa.schema(fields)

    def score(self, table: pa.Table, needs: Sequence[str]) -> pa.Table:
        """Return the record of one batch of alive rows, which has `_row` and the columns `needs`."""
        import pyarrow as pa

        if not len(table):
            return self.schema.empty_table()
        rows = table["_row"].to_numpy()
        columns, errors = self._columns(table.select(list(needs)), rows)
        added = self._added(columns, rows)
        if isinstance(self.node, RowNode) and columns.removed is None:
            removed = self.node.decide(pa.table(added, schema=pa.schema(list(self.types.items()))))
        else:
            removed = columns.removed
        record: dict[str, Any] = {"_row": rows, **added}
        if self.changes_text:
            record["text"] = self._one_a_row(columns.text, pa.string(), rows, "texts")
        for name, values, kind, what in (
            ("reason", removed and removed.reason, pa.string(), "reasons"),
            ("value", removed and removed.value, pa.float64(), "measured values"),
            ("threshold", removed and removed.threshold, pa.float64(), "thresholds"),
        ):
            record[name] = self._one_a_row(values, kind, rows, what)
        if self.row_errors:
            self._note_errors(record, errors)
        self._check_reasons(record["reason"])
        return pa.table(record, schema=self.schema)

    def open(self) -> RowFunction:
        """Open the function if that has not been done, and return it."""
        if self._function is None:
            self._function = self._open_rows()
        return self._function

    # the function ----------------------------------------------------------------------------------------------------

    def _columns(self, table: pa.Table, rows: np.ndarray) -> tuple[Columns, list[Exception | None]]:
        """Return what the function says of the rows, copied where it is known, and the error of each row."""
        import pyarrow as pa

        known = np.zeros(len(rows), bool) if self._known is None else self._known.scored[rows]
        if self._known is not None and self.phase.reuse == "batches":
            known &= self._known.had_batch(rows, self.phase) and known.all()
        if not known.any():
            return self._call(table)
        assert self._known is not None
        copied = self._known.table.take(pa.array(rows[known]))
        fresh, found = (None, []) if known.all() else self._call(table.filter(pa.array(~known)))
        order = np.empty(len(rows), np.int64)
        order[known], order[~known] = np.arange(known.sum()), known.sum() + np.arange((~known).sum())

        def joined(name: str, values: Any, kind: pa.DataType) -> pa.Array:
            """Return the copied values and the fresh ones (none: nulls) in the order of the batch."""
            count = int((~known).sum())
            new = pa.nulls(count, kind) if values is None else as_array(values, kind)
            return concat([*copied[name].chunks, new], kind).take(pa.array(order))

        added = {name: joined(name, fresh and fresh.added[name], kind) for name, kind in self.types.items()}
        text = joined("text", fresh and fresh.text, pa.string()) if self.changes_text else None
        errors: list[Exception | None] = [None] * len(rows)
        for place, error in zip(np.flatnonzero(~known), found, strict=True):
            errors[place] = error
        return Columns(added=added, text=text), errors

    def _call(self, table: pa.Table) -> tuple[Columns, list[Exception | None]]:
        """Call the function. Where it raises one of the node's `row_errors`, halve the batch until the row is found."""
        function = self.open()
        nothing: list[Exception | None] = [None] * len(table)
        if self.phase.on_error == "fail" or not self.row_errors:
            columns = function(table)
            if first := next((error for error in columns.errors or () if error is not None), None):
                raise first
            return columns, nothing
        try:
            columns = function(table)
        except self.row_errors as error:
            if len(table) == 1:
                return self._empty(1), [error]
            half = len(table) // 2
            return self._joined([self._call(table.slice(0, half)), self._call(table.slice(half))])
        return columns, nothing if columns.errors is None else list(columns.errors)

    def _empty(self, rows: int) -> Columns:
        import pyarrow as pa

        text = pa.nulls(rows, pa.string()) if self.changes_text else None
        return Columns(added={name: pa.nulls(rows, kind) for name, kind in self.types.items()}, text=text)

    def _joined(self, halves: Sequence[tuple[Columns, list[Exception | None]]]) -> tuple[Columns, list]:
        """Return two halves of a batch as one."""
        import pyarrow as pa

        sizes = [len(errors) for _, errors in halves]
        parts = [columns for columns, _ in halves]
        added = {
            name: concat([as_array(columns.added[name], kind) for columns in parts], kind)
            for name, kind in self.types.items()
        }
        text = None
        if self.changes_text:
            texts = [one_a_row(c.text, pa.string(), n, self.place) for c, n in zip(parts, sizes, strict=True)]
            text = concat(texts, pa.string())
        removed = None
        if any(columns.removed is not None for columns in parts):
            fields = {}
            for name, kind in (("reason", pa.string()), ("value", pa.float64()), ("threshold", pa.float64())):
                found = [None if c.removed is None else getattr(c.removed, name) for c in parts]
                fields[name] = concat(
                    [one_a_row(values, kind, n, self.place) for values, n in zip(found, sizes, strict=True)], kind
                )
            removed = Removed(**fields)
        return Columns(added=added, removed=removed, text=text), [error for _, errors in halves for error in errors]

    # its results ----------------------------------------------------------------------------------------------------

    def _added(self, columns: Columns, rows: np.ndarray) -> dict[str, pa.Array]:
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

    def _one_a_row(self, values: Any, kind: pa.DataType, rows: np.ndarray, what: str) -> pa.Array:
        return one_a_row(values, kind, len(rows), f"{self.place}, {what}", lambda at: f"row {rows[at]}")

    def _check_reasons(self, reasons: pa.Array) -> None:
        import pyarrow.compute as pc

        found = pc.unique(reasons).to_pylist()
        if unknown := [name for name in found if name is not None and name not in self.reasons]:
            raise DataError(self.place, f"the reason {unknown[0]!r}", f"one of {', '.join(self.reasons) or 'none'}")

    def _note_errors(self, record: dict[str, Any], errors: Sequence[Exception | None]) -> None:
        """Let the rows with an error go for the reason that its class has, with no other value."""
        import pyarrow as pa
        import pyarrow.compute as pc

        rows = len(record["reason"])
        if len(errors) != rows:
            raise DataError(f"{self.place}, errors", f"{len(errors)} values", f"{rows}, one a row")
        texts = [None if error is None else masked(str(error))[:ERROR_CHARACTERS] for error in errors]
        record["error"] = pa.array(texts, pa.string())
        if not any(error is not None for error in errors):
            return
        bad = pa.array([error is not None for error in errors])
        for name, kind in [*self.types.items(), ("value", pa.float64()), ("threshold", pa.float64())]:
            record[name] = pc.if_else(bad, pa.scalar(None, kind), record[name])
        if self.changes_text:
            record["text"] = pc.if_else(bad, pa.scalar(None, pa.string()), record["text"])
        reasons = [None if error is None else self._reason_of(error) for error in errors]
        record["reason"] = pc.if_else(bad, pa.array(reasons, pa.string()), record["reason"])

    def _reason_of(self, error: Exception) -> str:
        for kind in self.row_errors:
            if isinstance(error, kind):
                return f"{self.node.kind()}.error.{kind.__name__}"
        raise error


class _KnownScores:
    """Values, and changed texts, of an earlier side-car with the same rule of scores."""

    def __init__(self, path: Path, names: Sequence[str], with_errors: bool) -> None:
        import pyarrow.compute as pc

        wanted = ["state", *names, *(["removed_error"] if with_errors else [])]
        self.table = read_columns(path, wanted).combine_chunks()
        scored = pc.is_valid(self.table["state"])
        self._alive = np.flatnonzero(scored.to_numpy())
        if with_errors:  # such a row has no values; it is tried again
            scored = pc.and_(scored, pc.is_null(self.table["removed_error"]))
        self.scored = scored.to_numpy().astype(bool)

    def had_batch(self, rows: np.ndarray, phase: RowPhase) -> bool:
        """Whether just these rows were one batch when they were scored. With `batch_tokens` the rows cannot tell."""
        size, at = phase.batch_rows, int(np.searchsorted(self._alive, rows[0]))
        if size is None or phase.batch_tokens is not None or at % size:
            return False
        return np.array_equal(self._alive[at : at + size], rows)


def rest(table: pa.Table, record: pa.Table, types: Mapping[str, pa.DataType]) -> pa.Table:
    """Return the rows of a batch that stay after its record, with the added columns and the changed text."""
    import pyarrow.compute as pc

    for name in types:
        table = table.append_column(name, record[name])
    if "text" in record.column_names and "text" in table.column_names:
        at = table.column_names.index("text")
        text = pc.coalesce(record["text"], table["text"].cast(record["text"].type))
        table = table.set_column(at, "text", text)
    return table if record["reason"].null_count == len(record) else table.filter(pc.is_null(record["reason"]))
