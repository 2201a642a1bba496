"""Record batches to records: what Arrow files, and Parquet files that cannot stay in place, have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pipeline.contract import plain_rows
from pipeline.errors import DataError
from stages.read.record_to_row import Reject

if TYPE_CHECKING:
    import pyarrow as pa


def records(batches: Iterable[pa.RecordBatch], first: int = 0) -> Iterator[tuple[int, Mapping[str, Any] | Reject]]:
    """Row number -> record. A string whose bytes are no UTF-8 (writers need not check) is there as bytes; those of a
    text put its row aside alone.
    """
    number = first
    for batch in batches:
        for record in plain_rows(batch):
            yield number, record
            number += 1


def needed(schema: pa.Schema, fields: Iterable[str] | None, place: str) -> list[str]:
    """The top-level columns behind some fields (None: all), those that are there. Raises `DataError` for a column there
    twice."""
    found = []
    for field in schema.names if fields is None else fields:
        name = field if field in schema.names else field.partition(".")[0]
        if schema.names.count(name) > 1:
            raise DataError(
                place,
                f"the column {name!r} {schema.names.count(name)} times",
                "columns of different names",
                "mend the file, or name the fields that travel in `keep` of `read`",
            )
        if name in schema.names:
            found.append(name)
    return list(dict.fromkeys(found))
