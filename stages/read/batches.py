"""Record batches to records: what Arrow files, and Parquet files that cannot stay in place, have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pipeline.errors import DataError
from stages.read.records import Reject

if TYPE_CHECKING:
    import pyarrow as pa


def records(batches: Iterable[pa.RecordBatch], first: int = 0) -> Iterator[tuple[int, Mapping[str, Any] | Reject]]:
    """Row number -> record. Strings whose bytes are no UTF-8 (writers need not check) put their row aside alone."""
    number = first
    for batch in batches:
        for record in _plain(batch):
            yield number, record
            number += 1


def _plain(batch: pa.RecordBatch) -> Iterator[Mapping[str, Any] | Reject]:
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        for row in range(batch.num_rows):
            try:
                yield batch.slice(row, 1).to_pylist()[0]
            except UnicodeDecodeError:
                yield Reject("invalid_utf8")


def needed(schema: pa.Schema, fields: Iterable[str], place: str) -> list[str]:
    """The top-level columns behind some fields, those that are there. Raises `DataError` for a column there twice."""
    found = []
    for field in fields:
        name = field if field in schema.names else field.partition(".")[0]
        if schema.names.count(name) > 1:
            raise DataError(
                place, f"the column {name!r} {schema.names.count(name)} times", "columns of different names"
            )
        if name in schema.names:
            found.append(name)
    return list(dict.fromkeys(found))
